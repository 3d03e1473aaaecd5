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
from signalhub.brokers.reports import moves_of, take
from signalhub.domain.order import Order, Rejected, Retried, Status
from signalhub.domain.signal import OrderType, Side, Signal

MOST_STEPS: Final = 200
SECOND: Final = timedelta(seconds=1)

_NOON: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Failure(msgspec.Struct, frozen=True):
    """A BrokerError as a value, so that two can be compared."""

    reason: str
    permanent: bool


class Moment(msgspec.Struct, frozen=True):
    """`order` was due at `due` and asked about at `now`; what the broker `said` made it `after`."""

    order: Order
    due: datetime
    now: datetime
    said: Report | Failure
    after: Order

    @property
    def failure(self) -> Failure | None:
        return self.said if isinstance(self.said, Failure) else None

    @property
    def prices(self) -> list[object]:
        """What is to be paid by the broker's moves; not every move has a price."""
        moves = () if isinstance(self.said, Failure) else moves_of(self.said)
        return [move.price for move in moves if hasattr(move, "price")]


async def answer(broker: Broker, order: Order, now: datetime) -> Report | Failure:
    """What a step gives, or the BrokerError it raises. Anything else that it raises goes through."""
    try:
        return await broker.step(order, now)
    except BrokerError as error:
        return Failure(error.reason, error.permanent)


async def life(broker: Broker, order: Order) -> list[Moment]:
    """From `order` as it stands to where nothing more happens by itself, or to MOST_STEPS steps."""
    moments: list[Moment] = []
    now = order.updated_at
    while (due := broker.next_due(order)) is not None and len(moments) < MOST_STEPS:
        now = max(due, now)
        said = await answer(broker, order, now)
        after = take(order, _as_report(order, said, now), now).order
        moments.append(Moment(order, due, now, said, after))
        if after == order:
            break
        order = after
    return moments


def end_of(order: Order, moments: Sequence[Moment]) -> Order:
    return moments[-1].after if moments else order


def _as_report(order: Order, said: Report | Failure, now: datetime) -> Report:
    """A failure becomes what the lifecycle would make of it: an end where it is final, else another attempt."""
    if not isinstance(said, Failure):
        return said
    if said.permanent and order.status is Status.PENDING:
        return Rejected(said.reason)
    return Retried(said.reason, now + SECOND)


def orders(profile: str) -> list[Order]:
    """Sample orders of every kind: both sides, all types, a zone, one target and several."""
    kinds = list(product(Side, OrderType, (1, 3)))
    return [_order(profile, number, *kind) for number, kind in enumerate(kinds)]


def _order(profile: str, number: int, side: Side, type_: OrderType, targets: int) -> Order:
    return Order(
        id=f"01900000-0000-7000-8000-{number:012d}",
        account_id="01900000-0000-7000-8000-00000000aaaa",
        signal_id=f"01900000-0000-7000-9000-{number:012d}",
        trace_id=f"{number:032x}",
        terms=_terms(side, type_, targets),
        profile=profile,
        created_at=_NOON + number * SECOND,
        updated_at=_NOON + number * SECOND,
    )


def _terms(side: Side, type_: OrderType, targets: int) -> Signal:
    entry = None if type_ is OrderType.MARKET else Decimal("1.0860")
    is_zone = type_ is OrderType.LIMIT and targets > 1
    return Signal(
        side=side,
        symbol="EURUSD",
        order_type=type_,
        entry=entry,
        entry_high=Decimal("1.0864") if is_zone else None,
        stop_loss=Decimal("1.0860") - side.sign * Decimal("0.0020"),
        take_profits=tuple(Decimal("1.0864") + side.sign * Decimal("0.0010") * (n + 1) for n in range(targets)),
        quantity=Decimal(targets),
    )
