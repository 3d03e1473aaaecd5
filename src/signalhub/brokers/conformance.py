"""Checks of the broker interface that any implementation runs in its own tests.

    @pytest.mark.parametrize("check", conformance.CHECKS)
    async def test_my_broker_conforms(check):
        await check(lambda: MyBroker({}), conformance.orders("demo"))

Each check creates its own brokers and advances sample orders to their end on a virtual clock, asking as the lifecycle
would; nothing is stored and nothing waits. A violation raises Breach with a sentence. Run a broker that uses a network
with its test account or a fake server.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, product
from typing import Final

from msgspec.structs import replace

from signalhub.brokers.base import Broker, BrokerError, Report
from signalhub.brokers.stepper import OrderStep, OrderStepper, StepFailure
from signalhub.domain.order import OPEN, Closed, CloseReason, IllegalTransition, Order, Status, apply
from signalhub.domain.retry import RetryPolicy
from signalhub.domain.signal import OrderType, Side, Signal

__all__ = ["CHECKS", "Breach", "Check", "orders"]

BrokerFactory = Callable[[], Broker]
Check = Callable[[BrokerFactory, Sequence[Order]], Awaitable[None]]

MAX_STEPS: Final = 200
ONE_SECOND: Final = timedelta(seconds=1)

_RETRY_POLICY: Final = RetryPolicy(max_attempts=MAX_STEPS + 1, base_delay_s=1.0, max_delay_s=1.0)
_SAMPLE_START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
_REASON_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class Breach(AssertionError):  # noqa: N818 - it names what happened
    """A violation of the broker interface."""


async def run_step(broker: Broker, order: Order, now: datetime) -> Report | StepFailure:
    """Return the result of a step, or the BrokerError it raises as a value. Other exceptions propagate."""
    try:
        return await broker.step(order, now)
    except BrokerError as error:
        return StepFailure(error.reason, error.permanent)


async def simulate_order(broker: Broker, order: Order) -> list[OrderStep]:
    """Advance `order` to its end as the lifecycle would, by MAX_STEPS steps at most. Raises what the broker raised."""
    steps = await OrderStepper(broker, _RETRY_POLICY, timeout_s=None).run_to_end(order, MAX_STEPS)
    for step in steps:
        if step.fault is not None:
            raise step.fault
    return steps


def final_order(order: Order, steps: Sequence[OrderStep]) -> Order:
    return steps[-1].order_after if steps else order


def orders(profile: str) -> list[Order]:
    """Return sample orders of every kind: both sides, all types, an entry range, one take profit and several."""
    kinds = list(product(Side, OrderType, (1, 3)))
    return [_make_sample_order(profile, number, *kind) for number, kind in enumerate(kinds)]


def _make_sample_order(profile: str, number: int, side: Side, type_: OrderType, target_count: int) -> Order:
    return Order(
        id=f"01900000-0000-7000-8000-{number:012d}",
        account_id="01900000-0000-7000-8000-00000000aaaa",
        signal_id=f"01900000-0000-7000-9000-{number:012d}",
        trace_id=f"{number:032x}",
        terms=_make_sample_terms(side, type_, target_count),
        profile=profile,
        created_at=_SAMPLE_START + number * ONE_SECOND,
        updated_at=_SAMPLE_START + number * ONE_SECOND,
    )


def _make_sample_terms(side: Side, type_: OrderType, target_count: int) -> Signal:
    entry = None if type_ is OrderType.MARKET else Decimal("1.0860")
    is_zone = type_ is OrderType.LIMIT and target_count > 1
    return Signal(
        side=side,
        symbol="EURUSD",
        order_type=type_,
        entry=entry,
        entry_high=Decimal("1.0864") if is_zone else None,
        stop_loss=Decimal("1.0860") - side.sign * Decimal("0.0020"),
        take_profits=tuple(Decimal("1.0864") + side.sign * Decimal("0.0010") * (n + 1) for n in range(target_count)),
        quantity=Decimal(target_count),
    )


async def next_due_is_pure(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    """Check that every process gets the same time-zone-aware instant for the same order."""
    first, second = make_broker(), make_broker()
    for order in samples:
        for step in await _simulate_or_breach(first, order):
            due = first.next_due(step.order)
            _require(due is None or due.tzinfo is not None, f"next_due gives a naive time: {due}")
            _require(due == first.next_due(step.order) == second.next_due(step.order), "next_due answers differently")


async def step_is_deterministic(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    """Check that a repeated step answers the same: a worker may die between the answer and the commit."""
    first, second = make_broker(), make_broker()
    for order in samples:
        for step in await _simulate_or_breach(first, order):
            again = await run_step(second, step.order, step.now)
            _require(again == step.result, f"at {step.order.status}: {step.result}, and asked again {again}")


async def due_order_makes_progress(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    """Check that a due order changes: one that does not stays due, and a worker spins on it."""
    for order in samples:
        for step in await _simulate_or_breach(make_broker(), order):
            _require(step.result is not None, f"{step.order.status} was due at {step.now} and nothing happened")


async def step_before_due_changes_nothing(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    broker = make_broker()
    for order in samples:
        for step in await _simulate_or_breach(broker, order):
            early = step.due - ONE_SECOND
            result = await run_step(broker, step.order, early)
            _require(result is None, f"{step.order.status}, due at {step.due}, did {result} at {early}")


async def moves_are_legal(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    """Check moves against the order table; `_simulate_or_breach` reports an illegal one."""
    for order in samples:
        for step in await _simulate_or_breach(make_broker(), order):
            _require(step.order_after.version > step.order.version, f"{step.result} left the order as it was")


async def order_settles_within_step_limit(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    """Check that orders end, or rest without a due time while they wait for a price that may never come."""
    broker = make_broker()
    for order in samples:
        last = final_order(order, await _simulate_or_breach(broker, order))
        _require(broker.next_due(last) is None, f"still {last.status} after {MAX_STEPS} steps")


async def ended_order_stays_ended(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    broker = make_broker()
    for order in samples:
        last = final_order(order, await _simulate_or_breach(broker, order))
        for status in set(Status) - OPEN:
            ended = replace(last, status=status, next_attempt_at=None)
            _require(broker.next_due(ended) is None, f"an order that is {status} has a due")
            result = await run_step(broker, ended, last.updated_at + ONE_SECOND)
            _require(result is None, f"an order that is {status} did {result}")


async def due_times_never_decrease(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    for order in samples:
        for before, after in pairwise(step.due for step in await _simulate_or_breach(make_broker(), order)):
            _require(before <= after, f"was due at {before} and then at {after}")


async def failed_attempt_respects_retry_schedule(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    broker = make_broker()
    for order in samples:
        for step in await _simulate_or_breach(broker, order):
            retry_at = step.now + 60 * ONE_SECOND
            due = broker.next_due(replace(step.order, attempts=1, next_attempt_at=retry_at))
            _require(
                due is not None and due >= retry_at, f"a failed attempt is due at {due}, but retried at {retry_at}"
            )


async def failures_have_a_reason_code(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    """Check that a reason is a code that clients can compare, such as `insufficient_margin`."""
    for order in samples:
        for step in await _simulate_or_breach(make_broker(), order):
            if step.failure is not None:
                _require(
                    _REASON_CODE.fullmatch(step.failure.reason) is not None, f"a reason is {step.failure.reason!r}"
                )


async def prices_are_positive_decimals(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    for order in samples:
        for step in await _simulate_or_breach(make_broker(), order):
            for price in step.prices:
                is_price = isinstance(price, Decimal) and price.is_finite() and price > 0
                _require(is_price, f"{price!r} is no price that could be paid")


async def position_can_be_closed_manually(make_broker: BrokerFactory, samples: Sequence[Order]) -> None:
    """Check that a manual close succeeds at last; a BrokerError is a valid answer to an attempt."""
    broker = make_broker()
    for order in samples:
        held = [
            step.order_after
            for step in await _simulate_or_breach(broker, order)
            if step.order_after.status is Status.EXECUTED
        ]
        for position in held[:1]:
            _require(await _closes_manually(broker, position), f"could not be closed by hand in {MAX_STEPS} seconds")


async def _simulate_or_breach(broker: Broker, order: Order) -> list[OrderStep]:
    try:
        return await simulate_order(broker, order)
    except (IllegalTransition, TypeError) as error:
        raise Breach(f"{order.terms.order_type}: {error!r}") from error


async def _closes_manually(broker: Broker, position: Order) -> bool:
    for second in range(1, MAX_STEPS):
        now = position.updated_at + second * ONE_SECOND
        try:
            move = await broker.close(position, now)
        except BrokerError:
            continue
        _require(isinstance(move, Closed) and move.reason is CloseReason.MANUAL, f"close did {move}")
        return apply(position, move, now).status is Status.CLOSED
    return False


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - an assertion's form
    if not condition:
        raise Breach(message)


CHECKS: Final[tuple[Check, ...]] = (
    next_due_is_pure,
    step_is_deterministic,
    due_order_makes_progress,
    step_before_due_changes_nothing,
    moves_are_legal,
    order_settles_within_step_limit,
    ended_order_stays_ended,
    due_times_never_decrease,
    failed_attempt_respects_retry_schedule,
    failures_have_a_reason_code,
    prices_are_positive_decimals,
    position_can_be_closed_manually,
)
