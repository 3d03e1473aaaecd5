"""Whole lives of orders on a virtual clock: what the broker is asked, step by step, as the lifecycle would ask it.

Nothing is stored and nobody waits: the clock jumps to when the order is due.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Final

import msgspec

from signalhub.brokers.base import Broker, BrokerError, Report
from signalhub.brokers.reports import apply_report, to_moves
from signalhub.domain.order import Order, Rejected, Retried, Status
from signalhub.domain.signal import OrderType, Side, Signal

MAX_STEPS: Final = 200
ONE_SECOND: Final = timedelta(seconds=1)

_SAMPLE_START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)


class StepFailure(msgspec.Struct, frozen=True):
    """A BrokerError as a value, so that two can be compared."""

    reason: str
    permanent: bool


class SimulatedStep(msgspec.Struct, frozen=True):
    """`order` was due at `due` and asked about at `now`; what the broker `said` made it `after`."""

    order: Order
    due: datetime
    now: datetime
    result: Report | StepFailure
    order_after: Order

    @property
    def failure(self) -> StepFailure | None:
        return self.result if isinstance(self.result, StepFailure) else None

    @property
    def prices(self) -> list[object]:
        """What is to be paid by the broker's moves; not every move has a price."""
        moves = () if isinstance(self.result, StepFailure) else to_moves(self.result)
        return [move.price for move in moves if hasattr(move, "price")]


async def run_step(broker: Broker, order: Order, now: datetime) -> Report | StepFailure:
    """What a step gives, or the BrokerError it raises. Anything else that it raises goes through."""
    try:
        return await broker.step(order, now)
    except BrokerError as error:
        return StepFailure(error.reason, error.permanent)


async def simulate_order(broker: Broker, order: Order) -> list[SimulatedStep]:
    """From `order` as it stands to where nothing more happens by itself, or to MOST_STEPS steps."""
    moments: list[SimulatedStep] = []
    now = order.updated_at
    while (due := broker.next_due(order)) is not None and len(moments) < MAX_STEPS:
        now = max(due, now)
        said = await run_step(broker, order, now)
        after = apply_report(order, _to_report(order, said, now), now).order
        moments.append(SimulatedStep(order, due, now, said, after))
        if after == order:
            break
        order = after
    return moments


def final_order(order: Order, steps: Sequence[SimulatedStep]) -> Order:
    return steps[-1].order_after if steps else order


def _to_report(order: Order, result: Report | StepFailure, now: datetime) -> Report:
    """A failure becomes what the lifecycle would make of it: an end where it is final, else another attempt."""
    if not isinstance(result, StepFailure):
        return result
    if result.permanent and order.status is Status.PENDING:
        return Rejected(result.reason)
    return Retried(result.reason, now + ONE_SECOND)


def orders(profile: str) -> list[Order]:
    """Sample orders of every kind: both sides, all types, a zone, one target and several."""
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
