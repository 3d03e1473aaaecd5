"""How far an order gets at one instant: the broker is asked until it has nothing more to say.

No database and no clock: the lifecycle stores what comes out, a replay keeps it in memory. A broker that stumbles makes
the order wait for its next attempt, or ends it; it never makes its caller stumble.
"""

from datetime import datetime

import msgspec
import structlog

from signalhub.brokers.base import Broker, BrokerError
from signalhub.brokers.reports import AppliedReport, apply_report
from signalhub.concurrency import timeout_if_pending
from signalhub.domain.events import NewEvent, order_event
from signalhub.domain.order import Move, Order, Rejected, Retried, Status
from signalhub.domain.retry import RetryPolicy

_log = structlog.get_logger()


class StepResult(msgspec.Struct, frozen=True):
    """An order as claimed and as it stands now, with what to say about it."""

    claimed: Order
    order: Order
    new_events: tuple[NewEvent, ...]
    due_at: datetime | None


class OrderStepper:
    """`patience_s` is what one step may take; None where nobody waits for it."""

    def __init__(self, broker: Broker, retry_policy: RetryPolicy, *, timeout_s: float | None) -> None:
        self._broker, self._retry_policy, self._timeout_s = broker, retry_policy, timeout_s

    async def progress(self, order: Order, now: datetime) -> StepResult:
        claimed, facts = order, []
        while (due := self.next_due(order, now)) is not None and due <= now:
            taken = await self._step(order, now)
            if not taken.applied:
                break
            order = taken.order
            facts += [order_event(str(move.__struct_config__.tag), after) for move, after in taken.applied]
        return StepResult(claimed, order, tuple(facts), due)

    def next_due(self, order: Order, now: datetime) -> datetime | None:
        try:
            return self._broker.next_due(order)
        except Exception:  # noqa: BLE001 - as in _step, which is where such an order is led
            return order.next_attempt_at or now

    async def _step(self, order: Order, now: datetime) -> AppliedReport:
        try:
            taken = apply_report(order, await timeout_if_pending(self._timeout_s, self._broker.step(order, now)), now)
        except BrokerError as error:
            return apply_report(order, self._failure_move(order, error, now), now)
        except TimeoutError:
            return apply_report(
                order, self._failure_move(order, BrokerError("broker_timeout", permanent=False), now), now
            )
        except Exception:  # noqa: BLE001 - one order that makes a broker stumble must not hold up its batch
            _log.exception("broker.step_failed", order_id=order.id)
            return apply_report(
                order, self._failure_move(order, BrokerError("broker_fault", permanent=False), now), now
            )
        if taken.ignored:
            _log.info("broker.duplicate_report", order_id=order.id, moves=len(taken.ignored))
        return taken

    def _failure_move(self, order: Order, error: BrokerError, now: datetime) -> Move:
        attempts = order.attempts + 1
        # A position is never given up: only an order that is not filled yet can end by failing.
        if order.status is Status.PENDING and (error.permanent or self._retry_policy.is_exhausted(attempts)):
            return Rejected(error.reason)
        return Retried(error.reason, self._retry_policy.schedule_next_attempt(order.id, attempts, now))
