"""The path as a plot shows it: a row of equal times, each with its first, highest, lowest and last price."""

from decimal import Decimal

import msgspec

from signalhub.domain.market.prices import PricePath


class Candle(msgspec.Struct, frozen=True):
    """Middle prices from `start`, market time, to the next candle's start."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


def build_candles(price_path: PricePath, interval_us: int, count: int, now_us: int) -> list[Candle]:
    """The last `count` candles, oldest first, from multiples of `interval`; the last is still growing at `now`."""
    last = now_us // interval_us * interval_us
    starts = range(last - (count - 1) * interval_us, last + 1, interval_us)
    return [_build_candle(price_path, start, min(start + interval_us, now_us)) for start in starts]


def _build_candle(price_path: PricePath, start: int, end: int) -> Candle:
    lowest, highest = price_path.find_extremes(start, end)
    return Candle(
        start=start,
        open=price_path.quote(start).mid,
        high=highest.mid,
        low=lowest.mid,
        close=price_path.quote(end).mid,
    )
