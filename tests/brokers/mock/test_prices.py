"""Prices: exact decimals with the instrument's digits, relative to an anchor, rounded against whoever trades."""

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


def _told(quote: Quote) -> tuple[str, str, str]:
    return str(quote.bid), str(quote.mid), str(quote.ask)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOW, ("1.09139", "1.09145", "1.09151")),
        (NOW + HOUR, ("1.09113", "1.09119", "1.09125")),
    ],
)
def test_quotes_match_golden_values(at: int, expected: tuple[str, str, str]) -> None:
    assert _told(PricePath(EURUSD, Decimal("1.1")).quote(at)) == expected


def _touch_text(touch: Touch | None) -> str:
    """Render a touch as the digest was made: renamed classes and fields must not change it."""
    return "None" if touch is None else f"Touch(at={touch.time_us}, is_upper={touch.is_upper})"


def test_market_answers_match_golden_digest() -> None:
    """The digest was made with Python 3.11, 3.12 and 3.13."""
    digest = sha256()
    for number in range(100):
        market, at = (
            replace(EURUSD, path_key=derive_path_key("signalhub", f"S{number % 7}")),
            NOW + number * 3_600_123_457,
        )
        ride = anchor_price_path(market, Decimal("1.0860"), at)
        found = ride.find_first_touch((Decimal("1.085"), Decimal("1.089")), at, at + 300 * HOUR)
        quotes = PricePath(market, Decimal("1.1")).quote(at), *ride.find_extremes(at, at + HOUR)
        texts = [_touch_text(found), *(repr(_told(quote)) for quote in quotes)]
        digest.update(f"({', '.join(texts)})".encode())
    assert digest.hexdigest() == "e70b793c51f819924de4327237b63a7076e3954686ddba1092a3564450fce78a"


@given(times)
def test_a_price_has_the_digits_of_its_instrument_and_lies_between_bid_and_ask(at: int) -> None:
    quote = PricePath(EURUSD, Decimal("1.1")).quote(at)
    assert quote.bid < quote.mid < quote.ask
    assert {one.as_tuple().exponent for one in (quote.bid, quote.mid, quote.ask)} == {-5}
    assert Decimal("0.7") < quote.mid < Decimal("1.8")


@given(decimals, times)
def test_price_path_starts_at_anchor_price(anchor: Decimal, at: int) -> None:
    assert anchor_price_path(EURUSD, anchor, at).quote(at).mid == anchor


@given(times)
def test_price_path_scales_with_anchor_price(at: int) -> None:
    market = Market(EURUSD.path_key, EURUSD.volatility, EURUSD.spread, Decimal("1e-12"))
    low, high = (anchor_price_path(market, Decimal(anchor), at).quote(at + HOUR).mid for anchor in (1, 1000))
    assert abs(low * 1000 - high) < Decimal("1e-8")


@given(times, st.integers(1, 400), st.integers(1, 400))
def test_first_touch_price_equals_band_edge(at: int, below: int, above: int) -> None:
    ride = anchor_price_path(EURUSD, Decimal(1), at)
    low, high = 1 - below * EURUSD.tick, 1 + above * EURUSD.tick
    found = ride.find_first_touch((low, high), at, at + 24 * HOUR)
    if found is not None:
        assert ride.quote(found.time_us).mid == (high if found.is_upper else low)


def test_prices_ignore_callers_decimal_context() -> None:
    expected = PricePath(EURUSD, Decimal("1.1")).quote(NOW)
    with localcontext(getcontext()) as context:
        context.prec = 3
        assert PricePath(EURUSD, Decimal("1.1")).quote(NOW) == expected


@pytest.mark.parametrize("interval", [SECOND, 60 * SECOND, HOUR, 24 * HOUR])
def test_candles_are_contiguous_and_consistent(interval: int) -> None:
    ride, begin = PricePath(EURUSD, Decimal("1.1")), NOW // interval * interval
    now = begin + interval // 2
    row = build_candles(ride, interval, 12, now)
    assert [one.start for one in row] == [begin + (n - 11) * interval for n in range(12)]
    assert all(one.close == other.open for one, other in pairwise(row))
    assert all(one.low <= min(one.open, one.close) <= max(one.open, one.close) <= one.high for one in row)
    assert row[-1].close == ride.quote(now).mid


@given(
    st.decimals("0.01", "10000", places=2),
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is beside it
)
def test_market_clock_converts_both_ways(speed: Decimal, at: datetime) -> None:
    clock = MarketClock(speed)
    reading = clock.to_market_us(at)
    assert abs(clock.to_market_us(at + timedelta(seconds=100)) - reading - speed * 100 * SECOND) <= 1
    assert clock.to_market_us(clock.to_timestamp(reading)) >= reading
    assert clock.to_timestamp(reading) <= at
