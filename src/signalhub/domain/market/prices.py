"""Heights of the curve as prices.

A price is its anchor times e to the power of what the curve has risen since, by the instrument's volatility. Decimal's
`exp` and `ln` are correctly rounded, in a context of our own: the digits are the same everywhere. There is no drift:
the logarithm rises as often and as far as it falls.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Final

import msgspec

from signalhub.domain.market.extremes import extremes, glance
from signalhub.domain.market.path import YEAR, height
from signalhub.domain.market.touch import BEYOND, Touch, first_touch

_EXACT: Final = Context(prec=28, rounding=ROUND_HALF_EVEN)
_RATIO: Final = Context(prec=18, rounding=ROUND_HALF_EVEN)
"""Of ratios and their logarithms so many digits are finer than a microsecond of the market; more take longer."""


class Market(msgspec.Struct, frozen=True):
    """One instrument's. `volatility` is a year's, `spread` is a part of the price, `tick` a one in its last digit."""

    curve: bytes
    volatility: Decimal
    spread: Decimal
    tick: Decimal


class Quote(msgspec.Struct, frozen=True):
    """What a buyer pays (`ask`) and a seller gets (`bid`), each rounded against whoever trades.

    Mostly one of them is asked for, so each is worked out when it is.
    """

    exactly: Decimal
    market: Market

    @property
    def bid(self) -> Decimal:
        return _EXACT.subtract(self.exactly, self._half).quantize(self.market.tick, ROUND_FLOOR, _EXACT)

    @property
    def middle(self) -> Decimal:
        return self.exactly.quantize(self.market.tick, ROUND_HALF_EVEN, _EXACT)

    @property
    def ask(self) -> Decimal:
        return _EXACT.add(self.exactly, self._half).quantize(self.market.tick, ROUND_CEILING, _EXACT)

    @property
    def _half(self) -> Decimal:
        return _EXACT.multiply(self.exactly, _EXACT.divide(self.market.spread, 2))


class Ride(msgspec.Struct, frozen=True):
    """A market's path relative to an anchor: the middle price was `price` when the curve was at `height`."""

    market: Market
    price: Decimal
    height: int = 0

    def quote(self, at: int) -> Quote:
        return self._quote(height(self.market.curve, at))

    def touch(self, band: tuple[Decimal | None, Decimal | None], start: int, end: int) -> Touch | None:
        """The first time the middle price is at or beyond an edge of `band`; None as an edge leaves that side open."""
        low = -BEYOND if band[0] is None else self._height(band[0], ROUND_FLOOR)
        high = BEYOND if band[1] is None else self._height(band[1], ROUND_CEILING)
        return first_touch(self.market.curve, low, high, start, end)

    def extremes(self, start: int, end: int) -> tuple[Quote, Quote]:
        """The lowest and the highest, from `start` to `end`."""
        low, high = extremes(self.market.curve, start, end)
        return self._quote(low), self._quote(high)

    def glance(self, start: int, end: int) -> tuple[Quote, Quote]:
        """The same, nearly, for a fraction of the work."""
        low, high = glance(self.market.curve, start, end)
        return self._quote(low), self._quote(high)

    def _quote(self, at_height: int) -> Quote:
        rise = _EXACT.divide(_EXACT.multiply(self.market.volatility, at_height - self.height), YEAR)
        return Quote(_EXACT.multiply(self.price, _RATIO.exp(rise)), self.market)

    def _height(self, price: Decimal, rounding: str) -> int:
        rise = _RATIO.ln(_EXACT.divide(price, self.price))
        way = _EXACT.divide(_EXACT.multiply(rise, YEAR), self.market.volatility)
        return self.height + int(way.to_integral_value(rounding))


def anchored(market: Market, price: Decimal, at: int) -> Ride:
    """The ride on which the middle price at `at` is `price`."""
    return Ride(market, price, height(market.curve, at))


def price(market: Market, base: Decimal, at: int) -> Quote:
    """The market's own price at `at`, when what it swings around is `base`."""
    return Ride(market, base).quote(at)
