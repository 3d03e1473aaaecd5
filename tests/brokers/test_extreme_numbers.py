"""Every number that the grammar accepts lives a whole life, in each profile, and is computed without rounding."""

import asyncio
from decimal import Decimal, localcontext

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from signalhub import grammar
from signalhub.brokers.mock.broker import MockBroker
from signalhub.brokers.stepper import OrderStep, OrderStepper
from signalhub.domain.exact_decimals import EXACT, MAX_VALUE
from signalhub.domain.order import OPEN
from signalhub.domain.retry import RetryPolicy
from signalhub.domain.signal import Side, Signal, format_decimal
from tests.kit.order_factory import make_order
from tests.kit.setting_changes import make_settings

SYMBOLS = ("FOO", "BARUSDT", "AAPL", "SHIBBTC")
BROKER_SETTINGS = make_settings(slippage_bp="37.123", commission_bp="1.23", commission_per_unit="0.007").broker
MAX_DIGITS, MAX_DECIMALS = 28, 18


@st.composite
def make_levels(draw: st.DrawFn) -> list[str]:
    """Return three to eight prices in ascending order, as close together or as far apart as a signal may have them."""
    decimals = draw(st.integers(0, MAX_DECIMALS))
    largest = min(10**MAX_DIGITS - 1, int(MAX_VALUE) * 10**decimals)
    lowest = draw(st.one_of(st.integers(1, 9), st.integers(1, largest // 10)))
    steps = draw(st.sets(st.integers(1, 9 * lowest - 1), min_size=2, max_size=7).map(sorted))
    return [format_decimal(Decimal(lowest + step).scaleb(-decimals)) for step in (0, *steps)]


@st.composite
def make_quantities(draw: st.DrawFn) -> str:
    decimals = draw(st.integers(0, MAX_DECIMALS))
    largest = min(10**MAX_DIGITS - 1, int(MAX_VALUE) * 10**decimals)
    digits = draw(st.one_of(st.just(largest), st.just(1), st.integers(1, largest)))
    return format_decimal(Decimal(digits).scaleb(-decimals))


@st.composite
def make_texts(draw: st.DrawFn) -> str:
    levels, side = draw(make_levels()), draw(st.sampled_from(Side))
    stop, entry, *targets = levels if side is Side.BUY else reversed(levels)
    head = f"{side} {draw(st.sampled_from(['', 'LIMIT ', 'STOP ']))}{draw(st.sampled_from(SYMBOLS))} @ {entry}"
    if draw(st.booleans()):
        head, targets = f"{side} {draw(st.sampled_from(SYMBOLS))}", [entry, *targets]
    lines = [head, f"SL: {stop}", *(f"TP{number}: {price}" for number, price in enumerate(targets, 1))]
    return "\n".join([*lines, f"LOT {draw(make_quantities())}"])


def _run(signal: Signal, profile: str) -> list[OrderStep]:
    stepper = OrderStepper(MockBroker(BROKER_SETTINGS), RetryPolicy(3, 0.1, 1.0), timeout_s=None)
    return asyncio.run(stepper.run_to_end(make_order(terms=signal, profile=profile), 60))


@pytest.mark.parametrize("profile", ["demo", "market", "instant"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(text=make_texts())
def test_extreme_numbers_reach_an_end(profile: str, text: str) -> None:
    parsed = grammar.parse(text.encode())
    assume(isinstance(parsed, grammar.ParsedSignal))
    assert isinstance(parsed, grammar.ParsedSignal)
    steps = _run(parsed.signal, profile)
    assert [step.fault for step in steps if step.fault is not None] == []
    last = steps[-1].order_after
    assert last.status not in OPEN
    assert all(
        isinstance(price, Decimal) and price.is_finite() and price > 0 for step in steps for price in step.prices
    )
    assert all(step.new_events for step in steps)
    if last.closes:
        with localcontext(EXACT):
            assert sum(part.quantity for part in last.closes) == last.terms.quantity


def test_quantity_of_28_digits_is_split_and_closed() -> None:
    text = "BUY BTCUSD @ 60000\nSL 59967.80\nTP1 60087.80\nTP2 60100\nLOT 9999999999.999999999999999999"
    parsed = grammar.parse(text.encode())
    assert isinstance(parsed, grammar.ParsedSignal)
    last = _run(parsed.signal, "demo")[-1].order_after
    assert last.status == "closed"
    assert last.remaining_quantity == 0
