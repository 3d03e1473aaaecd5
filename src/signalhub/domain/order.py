"""An order and its legal moves.

TRANSITIONS is the specification. A pair that is not in it raises IllegalTransition: either a broker or the table is
wrong, and neither may be ignored.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from signalhub.domain.pnl import PriceGains, mean_gain, net_profit, to_units
from signalhub.domain.signal import Side, Signal


class Status(StrEnum):
    PENDING = "pending"
    EXECUTED = "executed"
    CLOSED = "closed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class CloseReason(StrEnum):
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    TIME = "time"
    MANUAL = "manual"


TRANSITIONS: Final = frozenset(
    {
        (Status.PENDING, Status.PENDING),  # an attempt failed and is scheduled again
        (Status.PENDING, Status.EXECUTED),
        (Status.PENDING, Status.REJECTED),
        (Status.PENDING, Status.CANCELLED),
        (Status.PENDING, Status.EXPIRED),
        (Status.EXECUTED, Status.EXECUTED),  # a part was closed; or an attempt failed: a position is never given up
        (Status.EXECUTED, Status.CLOSED),
    }
)

OPEN: Final = frozenset({Status.PENDING, Status.EXECUTED})


class PartialClose(msgspec.Struct, frozen=True):
    """A part of the position, or all that was left of it, that was closed."""

    price: Decimal
    quantity: Decimal
    reason: CloseReason
    at: datetime


class ExecutionStats(msgspec.Struct, frozen=True, kw_only=True):
    """What only the market knows of a result.

    How far, at most, the price went against the position and for it; the size of a pip, where the instrument has them;
    the currency its prices are in; what the broker charged for fill and close, where he charges anything.
    """

    mae: Decimal | None = None
    mfe: Decimal | None = None
    pip_size: Decimal | None = None
    currency: str | None = None
    commission: Decimal | None = None


Figures = ExecutionStats
"""Deprecated: the name by which brokers imported `ExecutionStats` before."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`version` counts the moves, so a writer that read an older one can be told. Times are aware UTC.

    `pnl` is the sum over all parts of the price won times the quantity, less the `commission`, so it is in the symbol's
    quote currency; `pips` and `r_multiple` (the price won by what was risked between fill and stop loss) are means over
    the quantity and know nothing of commission. `close_price` is the last part's.
    """

    id: str
    account_id: str
    signal_id: str
    trace_id: str
    terms: Signal
    profile: str
    simulate: str | None = None
    expires_at: datetime | None = None
    status: Status = Status.PENDING
    reason: str | None = None
    broker_order_id: str | None = None
    fill_price: Decimal | None = None
    filled_at: datetime | None = None
    close_price: Decimal | None = None
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    closes: tuple[PartialClose, ...] = ()
    pnl: Decimal | None = None
    pnl_currency: str | None = None
    pips: Decimal | None = None
    r_multiple: Decimal | None = None
    mae: Decimal | None = None
    mfe: Decimal | None = None
    commission: Decimal | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    version: int = 1
    created_at: datetime
    updated_at: datetime

    @property
    def filled_quantity(self) -> Decimal:
        """The quantity that was bought or sold: all of it, or nothing yet."""
        return Decimal(0) if self.fill_price is None else self.terms.quantity

    @property
    def open_quantity(self) -> Decimal:
        """The quantity that is still in the market."""
        left = self.filled_quantity - sum((part.quantity for part in self.closes), Decimal(0))
        return left or Decimal(0)  # and not 0.0000

    @property
    def price_gains(self) -> PriceGains:
        """The price won, and the quantity, of each part that was closed."""
        fill, is_buy = self.fill_price or Decimal(0), self.terms.side is Side.BUY
        return [(part.price - fill if is_buy else fill - part.price, part.quantity) for part in self.closes]


class Retried(msgspec.Struct, frozen=True, tag="order.retrying"):
    """An attempt failed for a passing `reason` and is due again at `next_attempt_at`."""

    reason: str
    next_attempt_at: datetime


class Executed(msgspec.Struct, frozen=True, tag="order.executed"):
    """`at` is when the broker says it happened, where that was not just now; so it is below."""

    price: Decimal
    broker_order_id: str
    at: datetime | None = None


class PartiallyClosed(msgspec.Struct, frozen=True, tag="order.partially_closed"):
    """`part` counts from 1, so that one that is reported twice is known again."""

    price: Decimal
    quantity: Decimal
    part: int
    reason: CloseReason = CloseReason.TAKE_PROFIT
    at: datetime | None = None


class Closed(msgspec.Struct, frozen=True, tag="order.closed"):
    """All that is still held."""

    price: Decimal
    reason: CloseReason
    at: datetime | None = None
    figures: ExecutionStats = ExecutionStats()


class Rejected(msgspec.Struct, frozen=True, tag="order.rejected"):
    reason: str


class Cancelled(msgspec.Struct, frozen=True, tag="order.cancelled"):
    reason: str = "requested"


class Expired(msgspec.Struct, frozen=True, tag="order.expired"):
    pass


Move = Retried | Executed | PartiallyClosed | Closed | Rejected | Cancelled | Expired


class IllegalTransition(Exception):  # noqa: N818 - it names the fault, as the order table does
    """`order` may not become `status`."""

    def __init__(self, order: Order, status: Status) -> None:
        super().__init__(f"order {order.id}: {order.status} -> {status}")
        self.order, self.status = order, status


def apply(order: Order, move: Move, now: datetime) -> Order:
    """Return the order after `move`, made at `now`. Raises IllegalTransition."""
    match move:
        case Retried():
            return _apply_retried(_transition(order, order.status, now), move)
        case Executed():
            return _apply_executed(_transition(order, Status.EXECUTED, now), move)
        case PartiallyClosed():
            return _apply_partially_closed(_transition(order, Status.EXECUTED, now), move)
        case Closed():
            return _apply_closed(_transition(order, Status.CLOSED, now), move)
        case Rejected() | Cancelled():
            end = Status.REJECTED if isinstance(move, Rejected) else Status.CANCELLED
            return replace(_transition(order, end, now), reason=move.reason)
        case Expired():
            return _transition(order, Status.EXPIRED, now)
        case _:
            assert_never(move)


def _transition(order: Order, status: Status, now: datetime) -> Order:
    if (order.status, status) not in TRANSITIONS:
        raise IllegalTransition(order, status)
    return replace(order, status=status, reason=None, next_attempt_at=None, version=order.version + 1, updated_at=now)


def _apply_retried(order: Order, move: Retried) -> Order:
    return replace(order, attempts=order.attempts + 1, reason=move.reason, next_attempt_at=move.next_attempt_at)


def _apply_executed(order: Order, move: Executed) -> Order:
    if order.fill_price is not None:
        raise IllegalTransition(order, Status.EXECUTED)
    return replace(
        order,
        fill_price=move.price,
        filled_at=_clamp_to_updated_at(order, move.at),
        broker_order_id=move.broker_order_id,
        attempts=order.attempts + 1,
    )


def _apply_partially_closed(order: Order, move: PartiallyClosed) -> Order:
    if move.part != len(order.closes) + 1 or not 0 < move.quantity < order.open_quantity:
        raise IllegalTransition(order, Status.EXECUTED)
    return replace(
        order,
        closes=(
            *order.closes,
            PartialClose(move.price, move.quantity, move.reason, _clamp_to_updated_at(order, move.at)),
        ),
    )


def _apply_closed(order: Order, move: Closed) -> Order:
    if order.fill_price is None:
        raise IllegalTransition(order, Status.CLOSED)
    at, figures, risk = (
        _clamp_to_updated_at(order, move.at),
        move.figures,
        abs(order.fill_price - order.terms.stop_loss),
    )
    order = replace(order, closes=(*order.closes, PartialClose(move.price, order.open_quantity, move.reason, at)))
    won = mean_gain(order.price_gains)
    return replace(
        order,
        close_price=move.price,
        closed_at=at,
        close_reason=move.reason,
        pnl=net_profit(order.price_gains, figures.commission),
        pnl_currency=figures.currency,
        pips=to_units(won, figures.pip_size, 1),
        r_multiple=to_units(won, risk, 4),
        mae=figures.mae,
        mfe=figures.mfe,
        commission=figures.commission,
    )


def _clamp_to_updated_at(order: Order, reported_at: datetime | None) -> datetime:
    """Nothing can have happened later than it is told."""
    return order.updated_at if reported_at is None else min(reported_at, order.updated_at)
