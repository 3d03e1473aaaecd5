"""A parsed trading signal.

Prices keep the digits they came with: `1.0860` stays `1.0860`, so nothing here may normalise a `Decimal`.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 if the position earns from a rising price, -1 if from a falling one."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of one order. `entry` alone is a price; with `entry_high` it is the low end of a range."""

    side: Side
    symbol: str
    order_type: OrderType
    entry: Decimal | None = None
    entry_high: Decimal | None = None
    stop_loss: Decimal
    take_profits: Annotated[tuple[Decimal, ...], msgspec.Meta(min_length=1)]
    quantity: Decimal = Decimal(1)


class SignalView(msgspec.Struct, frozen=True, kw_only=True):
    """A signal as JSON shows it, with numbers as text."""

    side: Side
    symbol: str
    order_type: OrderType
    entry: str | None
    entry_high: str | None
    stop_loss: str
    take_profits: tuple[str, ...]
    quantity: str


def format_decimal(number: Decimal) -> str:
    """Format with every digit and no exponent; `str()` would turn 0.0000001 into 1E-7."""
    text = str(number)
    return format(number, "f") if "E" in text else text  # format() alone takes longer


def format_decimal_or_none(number: Decimal | None) -> str | None:
    return None if number is None else format_decimal(number)


def decimal_exponent(number: Decimal) -> int:
    """Return the exponent of the last digit: -4 for 1.0860. 0 for infinities and NaN, which have none."""
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def to_signal_view(signal: Signal) -> SignalView:
    return SignalView(
        side=signal.side,
        symbol=signal.symbol,
        order_type=signal.order_type,
        entry=format_decimal_or_none(signal.entry),
        entry_high=format_decimal_or_none(signal.entry_high),
        stop_loss=format_decimal(signal.stop_loss),
        take_profits=tuple(map(format_decimal, signal.take_profits)),
        quantity=format_decimal(signal.quantity),
    )


def describe_signal(signal: Signal) -> str:
    """Describe a signal in one line: `BUY EURUSD @ 1.0860, SL 1.0850, TP 1.0890`."""
    head = f"{signal.side} {signal.symbol}"
    if signal.order_type is OrderType.STOP:
        head = f"{signal.side} STOP {signal.symbol}"
    if signal.entry is not None:
        head += f" @ {format_decimal(signal.entry)}"
    if signal.entry_high is not None:
        head += f"-{format_decimal(signal.entry_high)}"
    targets = ", ".join(f"TP {format_decimal(price)}" for price in signal.take_profits)
    tail = f", QTY {format_decimal(signal.quantity)}" if signal.quantity != 1 else ""
    return f"{head}, SL {format_decimal(signal.stop_loss)}, {targets}{tail}"
