"""Prices: exact decimals with the instrument's digits, relative to an anchor, rounded against the trader."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, getcontext, localcontext
from hashlib import sha256
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from signalhub.brokers.mock.brownian_path import derive_path_key
from signalhub.brokers.mock.path_search import Touch
from signalhub.brokers.mock.prices import (
    Market,
    MarketClock,
    PricePath,
    Quote,
    anchor_price_path,
    build_candles,
)

EURUSD: Final = Market(derive_path_key("signalhub", "EURUSD"), Decimal("0.08"), Decimal("0.0001"), Decimal("0.00001"))
NOW: Final = 1_767_268_800_000_000
SECOND: Final = 10**6
HOUR: Final = 3600 * SECOND
times = st.integers(0, 4 * 10**15)
decimals = st.decimals("0.00001", "99999", places=5)


def _quote_texts(quote: Quote) -> tuple[str, str, str]:
    return str(quote.bid), str(quote.mid), str(quote.ask)


@pytest.mark.parametrize(
    ("time_us", "expected"),
    [
        (NOW, ("1.09139", "1.09145", "1.09151")),
        (NOW + HOUR, ("1.09113", "1.09119", "1.09125")),
    ],
)
def test_quotes_match_golden_values(time_us: int, expected: tuple[str, str, str]) -> None:
    assert _quote_texts(PricePath(EURUSD, Decimal("1.1")).quote(time_us)) == expected


def _touch_text(touch: Touch | None) -> str:
    """Render a touch as the digest was made: renamed classes and fields must not change it."""
    return "None" if touch is None else f"Touch(at={touch.time_us}, is_upper={touch.is_upper})"


def test_market_answers_match_golden_digest() -> None:
    """The digest was made with Python 3.11, 3.12 and 3.13."""
    digest = sha256()
    for number in range(100):
        market = replace(EURUSD, path_key=derive_path_key("signalhub", f"S{number % 7}"))
        time_us = NOW + number * 3_600_123_457
        path = anchor_price_path(market, Decimal("1.0860"), time_us)
        touch = path.find_first_touch((Decimal("1.085"), Decimal("1.089")), time_us, time_us + 300 * HOUR)
        quotes = PricePath(market, Decimal("1.1")).quote(time_us), *path.find_extremes(time_us, time_us + HOUR)
        texts = [_touch_text(touch), *(repr(_quote_texts(quote)) for quote in quotes)]
        digest.update(f"({', '.join(texts)})".encode())
    assert digest.hexdigest() == "e70b793c51f819924de4327237b63a7076e3954686ddba1092a3564450fce78a"


@given(times)
def test_quote_has_instrument_digits_and_mid_between_bid_and_ask(time_us: int) -> None:
    quote = PricePath(EURUSD, Decimal("1.1")).quote(time_us)
    assert quote.bid < quote.mid < quote.ask
    assert {price.as_tuple().exponent for price in (quote.bid, quote.mid, quote.ask)} == {-5}
    assert Decimal("0.7") < quote.mid < Decimal("1.8")


@given(decimals, times)
def test_price_path_starts_at_anchor_price(anchor: Decimal, time_us: int) -> None:
    assert anchor_price_path(EURUSD, anchor, time_us).quote(time_us).mid == anchor


@given(times)
def test_price_path_scales_with_anchor_price(time_us: int) -> None:
    market = Market(EURUSD.path_key, EURUSD.volatility, EURUSD.spread, Decimal("1e-12"))
    low, high = (anchor_price_path(market, Decimal(anchor), time_us).quote(time_us + HOUR).mid for anchor in (1, 1000))
    assert abs(low * 1000 - high) < Decimal("1e-8")


@given(times, st.integers(1, 400), st.integers(1, 400))
def test_first_touch_price_equals_band_edge(time_us: int, below: int, above: int) -> None:
    path = anchor_price_path(EURUSD, Decimal(1), time_us)
    low, high = 1 - below * EURUSD.tick, 1 + above * EURUSD.tick
    touch = path.find_first_touch((low, high), time_us, time_us + 24 * HOUR)
    if touch is not None:
        assert path.quote(touch.time_us).mid == (high if touch.is_upper else low)


def test_prices_ignore_callers_decimal_context() -> None:
    expected = PricePath(EURUSD, Decimal("1.1")).quote(NOW)
    with localcontext(getcontext()) as context:
        context.prec = 3
        assert PricePath(EURUSD, Decimal("1.1")).quote(NOW) == expected


@pytest.mark.parametrize("interval", [SECOND, 60 * SECOND, HOUR, 24 * HOUR])
def test_candles_are_contiguous_and_consistent(interval: int) -> None:
    path, start = PricePath(EURUSD, Decimal("1.1")), NOW // interval * interval
    now = start + interval // 2
    candles = build_candles(path, interval, 12, now)
    assert [candle.start for candle in candles] == [start + (n - 11) * interval for n in range(12)]
    assert all(before.close == after.open for before, after in pairwise(candles))
    for candle in candles:
        assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
    assert candles[-1].close == path.quote(now).mid


@given(
    st.decimals("0.01", "10000", places=2),
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is given beside it
)
def test_market_clock_converts_both_ways(speed: Decimal, timestamp: datetime) -> None:
    clock = MarketClock(speed)
    market_us = clock.to_market_us(timestamp)
    assert abs(clock.to_market_us(timestamp + timedelta(seconds=100)) - market_us - speed * 100 * SECOND) <= 1
    assert clock.to_market_us(clock.to_timestamp(market_us)) >= market_us
    assert clock.to_timestamp(market_us) <= timestamp
