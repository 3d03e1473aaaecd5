"""How far an order gets at one instant: the broker is asked until it has nothing more to say.

No database and no clock: the lifecycle stores what comes out, a replay keeps it in memory. A broker that stumbles makes
the order wait for its next attempt, or ends it; it never makes its caller stumble.
"""

from datetime import datetime

import msgspec
import structlog

from signalhub.brokers.base import Broker, BrokerError
from signalhub.brokers.reports import Taken, take
from signalhub.domain.events import Fact, order_fact
from signalhub.domain.order import Move, Order, Rejected, Retried, Status
from signalhub.domain.retry import RetryPolicy
from signalhub.services.patience import within

_log = structlog.get_logger()


class Progress(msgspec.Struct, frozen=True):
    """An order as claimed and as it stands now, with what to say about it."""

    claimed: Order
    order: Order
    facts: tuple[Fact, ...]
    due_at: datetime | None


class Steps:
    """`patience_s` is what one step may take; None where nobody waits for it."""

    def __init__(self, broker: Broker, policy: RetryPolicy, *, patience_s: float | None) -> None:
        self._broker, self._policy, self._patience_s = broker, policy, patience_s

    async def progress(self, order: Order, now: datetime) -> Progress:
        claimed, facts = order, []
        while (due := self.due(order, now)) is not None and due <= now:
            taken = await self._step(order, now)
            if not taken.made:
                break
            order = taken.order
            facts += [order_fact(str(move.__struct_config__.tag), after) for move, after in taken.made]
        return Progress(claimed, order, tuple(facts), due)

    def due(self, order: Order, now: datetime) -> datetime | None:
        try:
            return self._broker.next_due(order)
        except Exception:  # noqa: BLE001 - as in _step, which is where such an order is led
            return order.next_attempt_at or now

    async def _step(self, order: Order, now: datetime) -> Taken:
        try:
            taken = take(order, await within(self._patience_s, self._broker.step(order, now)), now)
        except BrokerError as error:
            return take(order, self._failed(order, error, now), now)
        except TimeoutError:
            return take(order, self._failed(order, BrokerError("broker_timeout", permanent=False), now), now)
        except Exception:  # noqa: BLE001 - one order that makes a broker stumble must not hold up its batch
            _log.exception("broker.step_failed", order_id=order.id)
            return take(order, self._failed(order, BrokerError("broker_fault", permanent=False), now), now)
        if taken.ignored:
            _log.info("broker.repeated_itself", order_id=order.id, moves=len(taken.ignored))
        return taken

    def _failed(self, order: Order, error: BrokerError, now: datetime) -> Move:
        attempts = order.attempts + 1
        # A position is never given up: only an order that is not filled yet can end by failing.
        if order.status is Status.PENDING and (error.permanent or self._policy.is_spent(attempts)):
            return Rejected(error.reason)
        return Retried(error.reason, self._policy.next_attempt(order.id, attempts, now))
