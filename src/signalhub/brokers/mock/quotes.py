"""Quotes of the mock market: the price of a symbol where no order has set one.

An order follows the same path from its own price, so its prices differ, but relative moves are the same.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from signalhub.brokers.mock.instrument_specs import get_instrument_spec
from signalhub.brokers.mock.prices import Candle, MarketClock, PricePath, build_candles
from signalhub.domain.events import format_timestamp
from signalhub.domain.instruments import to_canonical_name
from signalhub.domain.signal import format_decimal
from signalhub.settings import BrokerSettings

MAX_CANDLES: Final = 300
_SYMBOL_PATTERN: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]{1,19}", re.ASCII)


class CandleView(msgspec.Struct, frozen=True, kw_only=True):
    """Mid prices of the interval that starts at `at`."""

    at: str
    open: str
    high: str
    low: str
    close: str


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is the asset class, which sets volatility and spread."""

    symbol: str
    kind: str
    currency: str | None
    at: str
    bid: str
    mid: str
    ask: str
    interval_s: float
    candles: list[CandleView]


class QuoteProvider:
    """Quotes of the mock market; the seed and the speed are those of the mock broker."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._seed = settings.seed
        self._clock = MarketClock(Decimal(str(settings.market_speed)))

    def get_quote(self, symbol: str, timestamp: datetime, interval: timedelta, candle_count: int) -> QuoteView:
        """Return the quote at `timestamp` and the candles that lead to it. Raises LookupError for an invalid symbol."""
        spec = get_instrument_spec(_normalize_symbol(symbol))
        price_path = PricePath(spec.build_market(self._seed, spec.base_price), spec.base_price)
        now_us = self._clock.to_market_us(timestamp)
        interval_us = max(self._clock.to_market_us(timestamp + interval) - now_us, 1)
        candles = build_candles(price_path, interval_us, candle_count, now_us) if candle_count else []
        quote = price_path.quote(now_us)
        return QuoteView(
            symbol=spec.symbol,
            kind=spec.asset_class,
            currency=spec.currency,
            at=format_timestamp(timestamp),
            bid=format_decimal(quote.bid),
            mid=format_decimal(quote.mid),
            ask=format_decimal(quote.ask),
            interval_s=interval.total_seconds(),
            candles=list(map(self._to_candle_view, candles)),
        )

    def _to_candle_view(self, candle: Candle) -> CandleView:
        return CandleView(
            at=format_timestamp(self._clock.to_timestamp(candle.start)),
            open=format_decimal(candle.open),
            high=format_decimal(candle.high),
            low=format_decimal(candle.low),
            close=format_decimal(candle.close),
        )


def _normalize_symbol(text: str) -> str:
    symbol = text.upper()
    if _SYMBOL_PATTERN.fullmatch(symbol) is None:
        raise LookupError(symbol)
    return to_canonical_name(symbol)
