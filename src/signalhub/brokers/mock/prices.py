"""Prices of the mock market: its clock, its quotes and its candles.

A price is its anchor times e to the power of the path's rise since, scaled by the instrument's volatility. Decimal's
`exp` and `ln` are correctly rounded in a context of our own, so the digits are the same on every machine. There is no
drift. The market clock counts microseconds since 1970 and may run faster than the wall clock.
"""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Final

import msgspec

from signalhub.brokers.mock.brownian_path import YEAR_DEVIATION, height_at
from signalhub.brokers.mock.path_search import (
    UNREACHABLE_HEIGHT,
    Touch,
    approximate_extremes,
    find_extremes,
    find_first_touch,
)
from signalhub.domain.exact_decimals import EXACT

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class MarketClock(msgspec.Struct, frozen=True):
    """Convert between time and market time; `speed` is the number of market seconds in a second."""

    speed: Decimal = Decimal(1)

    def to_market_us(self, timestamp: datetime) -> int:
        """Return the market time in whole microseconds, rounded down."""
        numerator, denominator = self.speed.as_integer_ratio()
        return (timestamp - _UNIX_EPOCH) // _MICROSECOND * numerator // denominator

    def to_timestamp(self, market_us: int) -> datetime:
        """Return the first instant at which the market clock shows `market_us`, to the microsecond."""
        numerator, denominator = self.speed.as_integer_ratio()
        return _UNIX_EPOCH - -market_us * denominator // numerator * _MICROSECOND


_PRICE_CONTEXT: Final = Context(prec=28, rounding=ROUND_HALF_EVEN)
_RATIO_CONTEXT: Final = Context(prec=18, rounding=ROUND_HALF_EVEN)
"""For ratios and logarithms: 18 digits resolve a microsecond of the market, and more would take longer."""


class Market(msgspec.Struct, frozen=True):
    """The market of an instrument: `volatility` of a year, `spread` as a share of the price, `tick` the price step."""

    path_key: bytes
    volatility: Decimal
    spread: Decimal
    tick: Decimal


class Quote(msgspec.Struct, frozen=True):
    """The ask that a buyer pays and the bid that a seller gets, each rounded against the trader, at least a tick.

    Mostly only one of them is needed, so each is computed when it is read.
    """

    exact_mid: Decimal
    market: Market

    @property
    def bid(self) -> Decimal:
        exact = _PRICE_CONTEXT.subtract(self.exact_mid, self._half_spread)
        return max(exact.quantize(self.market.tick, ROUND_FLOOR, EXACT), self.market.tick)

    @property
    def mid(self) -> Decimal:
        return max(self.exact_mid.quantize(self.market.tick, ROUND_HALF_EVEN, EXACT), self.market.tick)

    @property
    def ask(self) -> Decimal:
        exact = _PRICE_CONTEXT.add(self.exact_mid, self._half_spread)
        return exact.quantize(self.market.tick, ROUND_CEILING, EXACT)

    @property
    def _half_spread(self) -> Decimal:
        return _PRICE_CONTEXT.multiply(self.exact_mid, _PRICE_CONTEXT.divide(self.market.spread, 2))


class PricePath(msgspec.Struct, frozen=True):
    """The prices of a market relative to an anchor: the mid price is `anchor_price` at height `anchor_height`."""

    market: Market
    anchor_price: Decimal
    anchor_height: int = 0

    def quote(self, time_us: int) -> Quote:
        return self._quote_at_height(height_at(self.market.path_key, time_us))

    def find_first_touch(self, band: tuple[Decimal | None, Decimal | None], start: int, end: int) -> Touch | None:
        """Return when the mid price is first at or beyond an edge of `band`; None as an edge leaves that side open."""
        low = -UNREACHABLE_HEIGHT if band[0] is None else self._height_of_price(band[0], ROUND_FLOOR)
        high = UNREACHABLE_HEIGHT if band[1] is None else self._height_of_price(band[1], ROUND_CEILING)
        return find_first_touch(self.market.path_key, low, high, start, end)

    def find_extremes(self, start: int, end: int) -> tuple[Quote, Quote]:
        """Return the lowest and the highest quote from `start` to `end`."""
        low, high = find_extremes(self.market.path_key, start, end)
        return self._quote_at_height(low), self._quote_at_height(high)

    def approximate_extremes(self, start: int, end: int) -> tuple[Quote, Quote]:
        """Return nearly the same as `find_extremes` for a fraction of the work."""
        low, high = approximate_extremes(self.market.path_key, start, end)
        return self._quote_at_height(low), self._quote_at_height(high)

    def _quote_at_height(self, path_height: int) -> Quote:
        rise = _PRICE_CONTEXT.divide(
            _PRICE_CONTEXT.multiply(self.market.volatility, path_height - self.anchor_height), YEAR_DEVIATION
        )
        return Quote(_PRICE_CONTEXT.multiply(self.anchor_price, _RATIO_CONTEXT.exp(rise)), self.market)

    def _height_of_price(self, price: Decimal, rounding: str) -> int:
        rise = _RATIO_CONTEXT.ln(_PRICE_CONTEXT.divide(price, self.anchor_price))
        height_difference = _PRICE_CONTEXT.divide(_PRICE_CONTEXT.multiply(rise, YEAR_DEVIATION), self.market.volatility)
        return self.anchor_height + int(height_difference.to_integral_value(rounding))


def anchor_price_path(market: Market, price: Decimal, time_us: int) -> PricePath:
    """Return the path whose mid price at the given time is the given price."""
    return PricePath(market, price, height_at(market.path_key, time_us))


class Candle(msgspec.Struct, frozen=True):
    """Mid prices from `start`, in market time, to the start of the next candle."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


def build_candles(price_path: PricePath, interval_us: int, count: int, now_us: int) -> list[Candle]:
    """Return the last candles, oldest first, at multiples of the interval; the last one ends at `now_us`."""
    last = now_us // interval_us * interval_us
    starts = range(last - (count - 1) * interval_us, last + 1, interval_us)
    return [build_candle(price_path, start, min(start + interval_us, now_us)) for start in starts]


def build_candle(price_path: PricePath, start: int, end: int) -> Candle:
    lowest, highest = price_path.find_extremes(start, end)
    return Candle(
        start=start,
        open=price_path.quote(start).mid,
        high=highest.mid,
        low=lowest.mid,
        close=price_path.quote(end).mid,
    )
