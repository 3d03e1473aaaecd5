"""An order, and the only ways it may change.

TRANSITIONS is the specification. A pair that is not in it raises: either a broker or this table is wrong, and neither
may be shrugged off.
"""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from signalhub.domain.signal import Signal


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
        (Status.EXECUTED, Status.EXECUTED),  # an attempt to close failed: a position is never given up
        (Status.EXECUTED, Status.CLOSED),
    }
)

OPEN: Final = frozenset({Status.PENDING, Status.EXECUTED})


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`version` counts the moves, so a writer that read an older one can be told. Times are aware UTC.

    `pnl` is in the symbol's quote currency per unit of quantity 1; `r_multiple` is the result divided by what was
    risked between fill and stop loss.
    """

    id: str
    account_id: str
    signal_id: str
    trace_id: str
    terms: Signal
    profile: str
    simulate: str | None = None
    status: Status = Status.PENDING
    reason: str | None = None
    broker_order_id: str | None = None
    fill_price: Decimal | None = None
    filled_at: datetime | None = None
    close_price: Decimal | None = None
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    pnl: Decimal | None = None
    r_multiple: Decimal | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    version: int = 1
    created_at: datetime
    updated_at: datetime


class Retried(msgspec.Struct, frozen=True, tag="order.retrying"):
    """An attempt failed for a passing `reason` and is due again at `next_attempt_at`."""

    reason: str
    next_attempt_at: datetime


class Executed(msgspec.Struct, frozen=True, tag="order.executed"):
    price: Decimal
    broker_order_id: str


class Closed(msgspec.Struct, frozen=True, tag="order.closed"):
    price: Decimal
    reason: CloseReason


class Rejected(msgspec.Struct, frozen=True, tag="order.rejected"):
    reason: str


class Cancelled(msgspec.Struct, frozen=True, tag="order.cancelled"):
    reason: str = "requested"


class Expired(msgspec.Struct, frozen=True, tag="order.expired"):
    pass


Move = Retried | Executed | Closed | Rejected | Cancelled | Expired


class IllegalTransition(Exception):  # noqa: N818 - it names the fault, as the order table does
    """`order` may not become `status`."""

    def __init__(self, order: Order, status: Status) -> None:
        super().__init__(f"order {order.id}: {order.status} -> {status}")
        self.order, self.status = order, status


def apply(order: Order, move: Move, at: datetime) -> Order:
    """The order as it stands after `move` became true at `at`; raises IllegalTransition."""
    match move:
        case Retried():
            return _retried(_moved(order, order.status, at), move)
        case Executed():
            return _executed(_moved(order, Status.EXECUTED, at), move)
        case Closed():
            return _closed(_moved(order, Status.CLOSED, at), move)
        case Rejected():
            return replace(_moved(order, Status.REJECTED, at), reason=move.reason)
        case Cancelled():
            return replace(_moved(order, Status.CANCELLED, at), reason=move.reason)
        case Expired():
            return _moved(order, Status.EXPIRED, at)
        case _:
            assert_never(move)


def _moved(order: Order, status: Status, at: datetime) -> Order:
    if (order.status, status) not in TRANSITIONS:
        raise IllegalTransition(order, status)
    return replace(order, status=status, reason=None, next_attempt_at=None, version=order.version + 1, updated_at=at)


def _retried(order: Order, move: Retried) -> Order:
    return replace(order, attempts=order.attempts + 1, reason=move.reason, next_attempt_at=move.next_attempt_at)


def _executed(order: Order, move: Executed) -> Order:
    return replace(
        order,
        fill_price=move.price,
        filled_at=order.updated_at,
        broker_order_id=move.broker_order_id,
        attempts=order.attempts + 1,
    )


def _closed(order: Order, move: Closed) -> Order:
    if order.fill_price is None:
        raise IllegalTransition(order, Status.CLOSED)
    gain = (move.price - order.fill_price) * order.terms.side.sign
    risk = abs(order.fill_price - order.terms.stop_loss)
    return replace(
        order,
        close_price=move.price,
        closed_at=order.updated_at,
        close_reason=move.reason,
        pnl=gain * order.terms.quantity,
        r_multiple=_ratio(gain, risk) if risk else None,
    )


def _ratio(gain: Decimal, risk: Decimal) -> Decimal:
    return (gain / risk).quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
