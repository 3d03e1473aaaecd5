"""The path as a plot shows it: a row of equal times, each with its first, highest, lowest and last price."""

from decimal import Decimal

import msgspec

from signalhub.domain.market.prices import Ride


class Candle(msgspec.Struct, frozen=True):
    """Middle prices from `start`, market time, to the next candle's start."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


def candles(ride: Ride, interval: int, count: int, now: int) -> list[Candle]:
    """The last `count` candles, oldest first, from multiples of `interval`; the last is still growing at `now`."""
    last = now // interval * interval
    starts = range(last - (count - 1) * interval, last + 1, interval)
    return [_candle(ride, start, min(start + interval, now)) for start in starts]


def _candle(ride: Ride, start: int, end: int) -> Candle:
    lowest, highest = ride.extremes(start, end)
    return Candle(
        start=start,
        open=ride.quote(start).middle,
        high=highest.middle,
        low=lowest.middle,
        close=ride.quote(end).middle,
    )
