"""Slippage, latency and commission are reproducible functions of their arguments."""

from datetime import timedelta
from decimal import Decimal

import pytest

from signalhub.brokers.execution_costs import Commission, Latency, SeededRandom, Slippage

RANDOM = SeededRandom("seed", "order")
PRICE = Decimal("1.0860")


def test_seeded_random_matches_golden_values() -> None:
    assert [SeededRandom("s", "o", attempt).uniform("fill") for attempt in range(3)] == [
        Decimal("0.843444"), Decimal("0.560056"), Decimal("0.304923")
    ]  # fmt: skip


def test_seeded_random_depends_on_every_input() -> None:
    draws = {
        rng.uniform(purpose)
        for rng in (
            RANDOM,
            SeededRandom("other", "order"),
            SeededRandom("seed", "other"),
            SeededRandom("seed", "order", 1),
        )
        for purpose in ("fill", "close")
    }
    assert len(draws) == 8


def test_seeded_random_is_uniform() -> None:
    draws = [SeededRandom("seed", str(number)).uniform("fill") for number in range(2000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert abs(sum(draws, Decimal(0)) / len(draws) - Decimal("0.5")) < Decimal("0.02")


def test_slippage_is_bounded_and_never_in_favour() -> None:
    amounts = [Slippage(Decimal(5)).amount(PRICE, SeededRandom("seed", str(number))) for number in range(200)]
    assert all(0 <= amount < PRICE * 5 / 10_000 for amount in amounts)
    assert len(set(amounts)) > 100


def test_latency_lies_between_its_ends() -> None:
    model = Latency(timedelta(milliseconds=50), timedelta(milliseconds=250))
    waits = [model.sample(SeededRandom("seed", str(number))) for number in range(200)]
    assert model.minimum <= min(waits) < max(waits) <= model.maximum


@pytest.mark.parametrize(("text", "least", "most"), [("200ms", 0.2, 0.2), ("0ms..2s", 0, 2), ("1m", 60, 60)])
def test_latency_parses_value_or_range(text: str, least: float, most: float) -> None:
    assert Latency.parse(text) == Latency(timedelta(seconds=least), timedelta(seconds=most))


@pytest.mark.parametrize("text", ["", "..", "200", "2s..1s", "1s..", "-1s", "1s..2s..3s", "1 s"])
def test_invalid_latency_parses_to_none(text: str) -> None:
    assert Latency.parse(text) is None


def test_commission_is_by_quantity_and_by_value() -> None:
    assert Commission(per_unit=Decimal("0.5")).amount(PRICE, Decimal(2)) == Decimal("1.0")
    assert Commission(basis_points=Decimal(10)).amount(Decimal(100), Decimal(2)) == Decimal("0.2")


def test_default_models_cost_nothing() -> None:
    assert Slippage().amount(PRICE, RANDOM) == Commission().amount(PRICE, Decimal(1)) == 0
    assert Latency().sample(RANDOM) == timedelta(0)
