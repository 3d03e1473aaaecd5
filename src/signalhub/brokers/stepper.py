"""Advance an order through its broker: ask when it is due, make the step, apply the report to the order.

Brokers repeat themselves: after a lost connection a fill is reported again, and an old one beside the close. A move
that was made already or has become impossible is ignored; a report without a possible move is a fault. An exception of
the broker never reaches the caller: it becomes a failed attempt that is retried, with the exception in `fault`. An
order whose attempts are spent on faults is given up, even if it is filled: it would fail for ever.

There is no database, clock or log here: the lifecycle stores and logs the result, a replay keeps it in memory, and the
conformance checks inspect each step.
"""

from datetime import datetime
from typing import Final

import msgspec

from signalhub.brokers.base import Broker, BrokerError, Report
from signalhub.concurrency import timeout_if_pending
from signalhub.domain.events import NewEvent, order_event
from signalhub.domain.order import OPEN, IllegalTransition, Move, Order, Rejected, Retried, Status, apply
from signalhub.domain.retry import RetryPolicy

FAULT_REASON: Final = "broker_fault"
"""The reason of an attempt in which the broker, or what was computed from its report, raised."""


class AppliedReport(msgspec.Struct, frozen=True):
    """The moves that were made, each with the order after it, and the moves that were ignored."""

    order: Order
    applied: tuple[tuple[Move, Order], ...] = ()
    ignored: tuple[Move, ...] = ()


def to_moves(report: Report) -> tuple[Move, ...]:
    if report is None:
        return ()
    return report if isinstance(report, tuple) else (report,)


def apply_report(order: Order, report: Report, now: datetime) -> AppliedReport:
    """Make the legal moves in order. Raises IllegalTransition if there are moves and none is legal."""
    applied: list[tuple[Move, Order]] = []
    ignored: list[Move] = []
    faults: list[IllegalTransition] = []
    for move in to_moves(report):
        try:
            order = apply(order, move, now)
            applied.append((move, order))
        except IllegalTransition as fault:
            ignored.append(move)
            faults.append(fault)
    if faults and not applied:
        raise faults[0]
    return AppliedReport(order, tuple(applied), tuple(ignored))


class StepFailure(msgspec.Struct, frozen=True):
    """A BrokerError as a value, so that two can be compared."""

    reason: str
    permanent: bool


class OrderStep(msgspec.Struct, frozen=True):
    """One question to the broker: `order` was due at `due` and asked about at `now`.

    `fault` is an exception that the broker interface does not allow.
    """

    order: Order
    due: datetime
    now: datetime
    result: Report | StepFailure
    applied: AppliedReport
    fault: Exception | None = None

    @property
    def order_after(self) -> Order:
        return self.applied.order

    @property
    def failure(self) -> StepFailure | None:
        return self.result if isinstance(self.result, StepFailure) else None

    @property
    def prices(self) -> list[object]:
        """The prices of the broker's moves, unchecked; not every move has one."""
        moves = () if isinstance(self.result, StepFailure) else to_moves(self.result)
        return [move.price for move in moves if hasattr(move, "price")]

    @property
    def new_events(self) -> list[NewEvent]:
        return [order_event(str(move.__struct_config__.tag), after) for move, after in self.applied.applied]


class StepResult(msgspec.Struct, frozen=True):
    """An order as claimed and as it stands now, when it is due next, and the events that report the way there.

    `ignored` are moves that the order had made already; `faults` are exceptions of the broker.
    """

    claimed: Order
    order: Order
    new_events: tuple[NewEvent, ...]
    due_at: datetime | None
    ignored: tuple[Move, ...] = ()
    faults: tuple[Exception, ...] = ()


class OrderStepper:
    """`timeout_s` limits one step; None does not."""

    def __init__(self, broker: Broker, retry_policy: RetryPolicy, *, timeout_s: float | None) -> None:
        self._broker, self._retry_policy, self._timeout_s = broker, retry_policy, timeout_s

    async def progress(self, order: Order, now: datetime) -> StepResult:
        """Make the steps that are due at `now`."""
        try:
            return await self._make_due_steps(order, now)
        except Exception as fault:  # noqa: BLE001 - an order whose events cannot be made must not hold up its batch
            move = self._to_move(order, StepFailure(FAULT_REASON, permanent=False), now)
            return self.fail(order, move, now, fault)

    def fail(self, order: Order, move: Retried | Rejected, now: datetime, fault: Exception) -> StepResult:
        """Return the result of an order that makes only this move because of a fault; one that has ended makes none."""
        if order.status not in OPEN:
            return StepResult(order, order, (), None, faults=(fault,))
        after = apply(order, move, now)
        event = order_event(str(move.__struct_config__.tag), after)
        return StepResult(order, after, (event,), self.next_due(after, now), faults=(fault,))

    async def _make_due_steps(self, order: Order, now: datetime) -> StepResult:
        claimed, steps = order, list[OrderStep]()
        while (due := self.next_due(order, now)) is not None and due <= now:
            step = await self._step(order, due, now)
            if not step.applied.applied:
                break
            steps.append(step)
            order = step.order_after
        return StepResult(
            claimed,
            order,
            tuple(event for step in steps for event in step.new_events),
            due,
            tuple(move for step in steps for move in step.applied.ignored),
            tuple(step.fault for step in steps if step.fault is not None),
        )

    async def run_to_end(self, order: Order, max_steps: int) -> list[OrderStep]:
        """Make every step on a virtual clock that jumps to when the order is due.

        It ends when nothing more happens by itself, after a step that changed nothing, or after `max_steps`.
        """
        steps: list[OrderStep] = []
        now = order.updated_at
        while len(steps) < max_steps and (due := self.next_due(order, now)) is not None:
            now = max(due, now)
            steps.append(await self._step(order, due, now))
            if not steps[-1].applied.applied:
                break
            order = steps[-1].order_after
        return steps

    def next_due(self, order: Order, now: datetime) -> datetime | None:
        return find_next_due(self._broker, order, now)

    async def _step(self, order: Order, due: datetime, now: datetime) -> OrderStep:
        fault: Exception | None = None
        try:
            report = await timeout_if_pending(self._timeout_s, self._broker.step(order, now))
            return OrderStep(order, due, now, report, apply_report(order, report, now))
        except BrokerError as error:
            failure = StepFailure(error.reason, error.permanent)
        except TimeoutError:
            failure = StepFailure("broker_timeout", permanent=False)
        except Exception as error:  # noqa: BLE001 - one order's faulty step must not hold up its batch
            failure, fault = StepFailure(FAULT_REASON, permanent=False), error
        retried = apply_report(order, self._to_move(order, failure, now), now)
        return OrderStep(order, due, now, failure, retried, fault)

    def _to_move(self, order: Order, failure: StepFailure, now: datetime) -> Retried | Rejected:
        attempts = order.attempts + 1
        is_exhausted = self._retry_policy.is_exhausted(attempts)
        # No failure of the broker's ends a position, which exists there all the same; only repeated faults do.
        if is_exhausted and failure.reason == order.reason == FAULT_REASON:
            return Rejected(failure.reason, is_given_up=True)
        if order.status is Status.PENDING and (failure.permanent or is_exhausted):
            return Rejected(failure.reason)
        return Retried(failure.reason, self._retry_policy.schedule_next_attempt(order.id, attempts, now))


def find_next_due(broker: Broker, order: Order, now: datetime) -> datetime | None:
    """Return when an order needs its broker. If the broker raises, that is now: the step meets the fault, too."""
    if order.status not in OPEN:
        return None
    try:
        return broker.next_due(order)
    except Exception:  # noqa: BLE001 - as many kinds as there are brokers
        return order.next_attempt_at or now
