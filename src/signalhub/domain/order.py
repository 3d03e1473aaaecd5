"""An order, its legal moves and what its position earned.

TRANSITIONS is the specification. A pair that is not in it raises IllegalTransition: either a broker or the table is
wrong, and neither may be ignored.
"""

import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from signalhub.domain.exact_decimals import use_exact_decimals
from signalhub.domain.signal import Side, Signal, decimal_exponent


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
        (Status.EXECUTED, Status.EXECUTED),  # a part was closed, or an attempt failed and is scheduled again
        (Status.EXECUTED, Status.CLOSED),
        (Status.EXECUTED, Status.REJECTED),  # only if it is given up: no failure that a broker reports ends one
    }
)

MAX_VERSION: Final = 2**31 - 1
"""The last version that can be stored. An order that has it makes one more move, which ends it."""

OPEN: Final = frozenset({Status.PENDING, Status.EXECUTED})


class PartialClose(msgspec.Struct, frozen=True):
    """A part of the position, or all that was left of it, that was closed."""

    price: Decimal
    quantity: Decimal
    reason: CloseReason
    at: datetime


class Interruption(msgspec.Struct, frozen=True):
    """A step that a worker began at `claimed_at` and did not finish, since it died, hung or could not save.

    Another worker claimed the order at `resumed_at`, after the lease. `attempt` is what `attempts` would have become.
    """

    claimed_at: datetime
    resumed_at: datetime
    attempt: int


class ExecutionStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker adds to a close, each where it is known.

    `mae` and `mfe` are the largest excursions of the price against and for the position. `currency` is that of the
    prices, `commission` the sum for the fill and all closes.
    """

    mae: Decimal | None = None
    mfe: Decimal | None = None
    pip_size: Decimal | None = None
    currency: str | None = None
    commission: Decimal | None = None


class Figures:
    """Deprecated: the former name of ExecutionStats, with its former field names."""

    def __new__(  # type: ignore[misc]  # returns the new class, so that `Closed` needs to know only one
        cls,
        *,
        adverse: Decimal | None = None,
        favourable: Decimal | None = None,
        pip: Decimal | None = None,
        currency: str | None = None,
        commission: Decimal | None = None,
    ) -> ExecutionStats:
        message = "Figures is now ExecutionStats, with mae, mfe and pip_size for adverse, favourable and pip"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return ExecutionStats(mae=adverse, mfe=favourable, pip_size=pip, currency=currency, commission=commission)


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """A forced outcome. `text` is how the sender wrote it, which is what is stored and shown.

    `fail` counts the attempts that fail before one works; `reject` is the reason for the broker's final rejection.
    """

    text: str = ""
    reject: str | None = None
    fail: int = 0
    fill_after: timedelta | None = None
    close_after: timedelta | None = None
    outcome: CloseReason | None = None


PriceGains = Sequence[tuple[Decimal, Decimal]]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`version` counts the moves, so that a write based on an older version is detected. Times are aware UTC.

    `pnl` is the sum of price gain times quantity over all parts, less the `commission`, in the symbol's quote currency.
    `pips` and `r_multiple` (the price gain divided by the distance from fill to stop loss) are means over the quantity,
    before commission. `close_price` is that of the last part.
    """

    id: str
    account_id: str
    signal_id: str
    trace_id: str
    terms: Signal
    profile: str
    simulation: Simulation | None = None
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
    interruptions: tuple[Interruption, ...] = ()

    @property
    def simulate(self) -> str | None:
        """The forced outcome as the sender wrote it."""
        return None if self.simulation is None else self.simulation.text

    @property
    def filled_quantity(self) -> Decimal:
        """The quantity that was bought or sold: all of it, or nothing yet."""
        return Decimal(0) if self.fill_price is None else self.terms.quantity

    @property
    @use_exact_decimals
    def remaining_quantity(self) -> Decimal:
        """The quantity that is still in the market."""
        left = self.filled_quantity - sum((part.quantity for part in self.closes), Decimal(0))
        return left or Decimal(0)  # an exact zero would keep the decimals: 0.0000

    @property
    @use_exact_decimals
    def price_gains(self) -> PriceGains:
        """The price gain and the quantity of each part that was closed."""
        fill, is_buy = self.fill_price or Decimal(0), self.terms.side is Side.BUY
        return [(part.price - fill if is_buy else fill - part.price, part.quantity) for part in self.closes]

    @property
    @use_exact_decimals
    def pnl_price(self) -> Decimal | None:
        """The mean price gain of a closed order, of several parts rounded to a hundredth of a price's last digit."""
        if self.pnl is None:
            return None
        gains = self.price_gains
        if len(gains) == 1:
            return gains[0][0]
        finest = min((gain for gain, _ in gains), key=decimal_exponent)
        return mean_gain(gains).quantize(finest.scaleb(-2), ROUND_HALF_EVEN)


class Retried(msgspec.Struct, frozen=True, tag="order.retrying"):
    """An attempt failed for a temporary `reason` and is due again at `next_attempt_at`."""

    reason: str
    next_attempt_at: datetime


class Executed(msgspec.Struct, frozen=True, tag="order.executed"):
    """`at` is when it happened, if that was before the report; so it is in the moves below."""

    price: Decimal
    broker_order_id: str
    at: datetime | None = None


class PartiallyClosed(msgspec.Struct, frozen=True, tag="order.partially_closed"):
    """`part` counts from 1, so that a part that is reported twice is recognised."""

    price: Decimal
    quantity: Decimal
    part: int
    reason: CloseReason = CloseReason.TAKE_PROFIT
    at: datetime | None = None


class Closed(msgspec.Struct, frozen=True, tag="order.closed"):
    """Closes all of the open quantity."""

    price: Decimal
    reason: CloseReason
    at: datetime | None = None
    figures: ExecutionStats = ExecutionStats()


class Rejected(msgspec.Struct, frozen=True, tag="order.rejected"):
    """The broker refused the order, or its attempts are spent.

    With `is_given_up`, which no broker reports, the service cannot advance the order: that ends a position, too.
    """

    reason: str
    is_given_up: bool = False


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
            order = transition(order, order.status, now)
            return replace(order, attempts=order.attempts + 1, reason=move.reason, next_attempt_at=move.next_attempt_at)
        case Executed():
            return fill(transition(order, Status.EXECUTED, now), move)
        case PartiallyClosed():
            if move.part != len(order.closes) + 1 or not 0 < move.quantity < order.remaining_quantity:
                raise IllegalTransition(order, Status.EXECUTED)
            part = PartialClose(move.price, move.quantity, move.reason, execution_time(move.at, now))
            return replace(transition(order, Status.EXECUTED, now), closes=(*order.closes, part))
        case Closed():
            return close_position(transition(order, Status.CLOSED, now), move)
        case Rejected() | Cancelled():
            return end_without_result(order, move, now)
        case Expired():
            return transition(order, Status.EXPIRED, now)
        case _:
            assert_never(move)


def end_without_result(order: Order, move: Rejected | Cancelled, now: datetime) -> Order:
    """Return the order ended for the move's reason. A position ends so only if it is given up."""
    status = Status.REJECTED if isinstance(move, Rejected) else Status.CANCELLED
    is_given_up = isinstance(move, Rejected) and move.is_given_up
    if order.status is not Status.PENDING and not is_given_up:
        raise IllegalTransition(order, status)
    return replace(transition(order, status, now), reason=move.reason)


def transition(order: Order, status: Status, now: datetime) -> Order:
    """Return the order as a new version with `status`. Raises IllegalTransition."""
    if (order.status, status) not in TRANSITIONS:
        raise IllegalTransition(order, status)
    version = min(order.version + 1, MAX_VERSION)
    return replace(order, status=status, reason=None, next_attempt_at=None, version=version, updated_at=now)


def fill(order: Order, move: Executed) -> Order:
    """Return the order with its fill. A second fill raises IllegalTransition."""
    if order.fill_price is not None:
        raise IllegalTransition(order, Status.EXECUTED)
    return replace(
        order,
        fill_price=move.price,
        filled_at=execution_time(move.at, order.updated_at),
        broker_order_id=move.broker_order_id,
        attempts=order.attempts + 1,
    )


@use_exact_decimals
def close_position(order: Order, move: Closed) -> Order:
    """Return the order with its open quantity closed and its results computed."""
    if order.fill_price is None:
        raise IllegalTransition(order, Status.CLOSED)
    stats, risk = move.figures, abs(order.fill_price - order.terms.stop_loss)
    closed_at = execution_time(move.at, order.updated_at)
    last_part = PartialClose(move.price, order.remaining_quantity, move.reason, closed_at)
    order = replace(order, closes=(*order.closes, last_part))
    gains = order.price_gains
    price_gain = mean_gain(gains)
    return replace(
        order,
        close_price=move.price,
        closed_at=closed_at,
        close_reason=move.reason,
        pnl=gross_profit(gains) - stats.commission if stats.commission is not None else gross_profit(gains),
        pnl_currency=stats.currency,
        pips=to_units(price_gain, stats.pip_size, 1),
        r_multiple=to_units(price_gain, risk, 4),
        mae=stats.mae,
        mfe=stats.mfe,
        commission=stats.commission,
    )


def execution_time(reported_at: datetime | None, now: datetime) -> datetime:
    """Return when a move happened: at its report, unless the broker says it was earlier."""
    return now if reported_at is None else min(reported_at, now)


def gross_profit(gains: PriceGains) -> Decimal:
    return sum((gain * quantity for gain, quantity in gains), Decimal(0))


def mean_gain(gains: PriceGains) -> Decimal:
    """Return the mean price gain over the quantity."""
    # Without a division, a single part keeps its digits.
    if len(gains) == 1:
        return gains[0][0]
    return gross_profit(gains) / sum((quantity for _, quantity in gains), Decimal(0))


def to_units(price_gain: Decimal, unit: Decimal | None, digits: int) -> Decimal | None:
    """Return the gain as a multiple of `unit`, None without a unit or with a unit of 0."""
    return (price_gain / unit).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN) if unit else None


@use_exact_decimals
def split_quantity(quantity: Decimal, count: int) -> list[Decimal]:
    """Split into equal parts, rounded down to a ten-thousandth of the last digit; the last part has the remainder."""
    last_digit = Decimal(1).scaleb(min(decimal_exponent(quantity), 0) - 4)
    part = Decimal(f"{(quantity / count).quantize(last_digit, ROUND_DOWN).normalize():f}")
    return [*[part] * (count - 1), quantity - part * (count - 1)]
