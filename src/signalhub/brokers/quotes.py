"""The mock market's own quotes: what a symbol costs when no order has said what it should.

An order's prices are not these: it rides the same path from its own price. What rises here by a percent rises there by
a percent.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from signalhub.brokers.markets import listing
from signalhub.domain.events import instant
from signalhub.domain.market.candles import Candle, candles
from signalhub.domain.market.clock import Clock
from signalhub.domain.market.prices import Ride
from signalhub.domain.signal import plain
from signalhub.grammar.instruments import KNOWN

MOST: Final = 300
_SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]{1,19}", re.ASCII)
_US: Final = timedelta(microseconds=1)


class CandleView(msgspec.Struct, frozen=True, kw_only=True):
    """Middle prices from `at` on, for as long as the interval."""

    at: str
    open: str
    high: str
    low: str
    close: str


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is the class of instruments that says how lively the price is and how wide the spread."""

    symbol: str
    kind: str
    currency: str | None
    at: str
    bid: str
    mid: str
    ask: str
    interval_s: float
    candles: list[CandleView]


class Quotes:
    """Made with the options of the mock broker: the same seed, the same prices."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._seed = options.get("seed", "signalhub")
        self._clock = Clock(Decimal(options.get("market_speed", 1)))

    def view(self, symbol: str, at: datetime, interval: timedelta, count: int) -> QuoteView:
        """The quote at `at` and the `count` candles that lead to it. Raises LookupError for what is no symbol."""
        listed = listing(_name(symbol))
        ride, now = Ride(listed.market(self._seed, listed.base), listed.base), self._clock.reading(at)
        span = self._clock.reading(at + interval) - now
        quote = ride.quote(now)
        return QuoteView(
            symbol=listed.symbol,
            kind=listed.kind,
            currency=listed.currency,
            at=instant(at),
            bid=plain(quote.bid),
            mid=plain(quote.middle),
            ask=plain(quote.ask),
            interval_s=interval.total_seconds(),
            candles=[self._candle(one) for one in candles(ride, max(span, 1), count, now)] if count else [],
        )

    def _candle(self, one: Candle) -> CandleView:
        return CandleView(
            at=instant(self._clock.instant(one.start)),
            open=plain(one.open),
            high=plain(one.high),
            low=plain(one.low),
            close=plain(one.close),
        )


def _name(text: str) -> str:
    symbol = text.upper()
    if _SYMBOL.fullmatch(symbol) is None:
        raise LookupError(symbol)
    known = KNOWN.get(symbol)
    return symbol if known is None else known.name
