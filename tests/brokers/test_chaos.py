"""Chaos profiles inject reproducible faults, and the order table absorbs them."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from signalhub.brokers import factory
from signalhub.brokers.chaos import (
    CALM_PROFILE,
    CHAOS_PROFILES,
    FAILURE_REASONS,
    REJECTION_REASONS,
    ChaosBroker,
    ChaosProfile,
    get_chaos_profile,
)
from signalhub.brokers.conformance import CHECKS, Check, final_order, orders, simulate_order
from signalhub.brokers.execution_costs import Latency
from signalhub.brokers.mock.broker import MockBroker
from signalhub.brokers.stepper import OrderStep
from signalhub.domain.forced_outcomes import from_stored_text
from signalhub.domain.order import Order, Status
from signalhub.settings import Settings
from tests.kit.order_factory import make_id, make_order
from tests.kit.setting_changes import make_settings


async def _skip_sleep(_seconds: float) -> None:
    """Hang without waiting."""


def _chaos_broker(profile: ChaosProfile) -> ChaosBroker:
    return ChaosBroker(MockBroker({}), profile, "seed", sleep=_skip_sleep)


def _sample_orders(count: int = 400) -> list[Order]:
    return [make_order(id=make_id(number), profile="instant") for number in range(count)]


async def _simulate_orders(profile: ChaosProfile, placed: Sequence[Order]) -> list[list[OrderStep]]:
    broker = _chaos_broker(profile)
    return [await simulate_order(broker, order) for order in placed]


def _count_final_statuses(steps_by_order: Sequence[Sequence[OrderStep]], placed: Sequence[Order]) -> Counter[Status]:
    return Counter(final_order(order, steps).status for order, steps in zip(placed, steps_by_order, strict=True))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CHAOS_PROFILES)
async def test_chaos_broker_conforms(name: str, check: Check) -> None:
    await check(lambda: _chaos_broker(get_chaos_profile(name)), orders("demo"))


async def test_rejection_share_and_reasons_match_profile() -> None:
    placed = _sample_orders()
    steps_by_order = await _simulate_orders(ChaosProfile(reject=Decimal("0.10")), placed)
    assert 25 <= _count_final_statuses(steps_by_order, placed)[Status.REJECTED] <= 55
    reasons = {step.failure.reason for steps in steps_by_order for step in steps if step.failure}
    assert reasons == set(REJECTION_REASONS)


async def test_failure_share_matches_profile_and_orders_end() -> None:
    placed = _sample_orders()
    steps_by_order = await _simulate_orders(ChaosProfile(fail=Decimal("0.30")), placed)
    failures = [step.failure for steps in steps_by_order for step in steps]
    assert 0.25 < sum(failure is not None for failure in failures) / len(failures) < 0.35
    assert {failure.reason for failure in failures if failure} == set(FAILURE_REASONS)
    assert _count_final_statuses(steps_by_order, placed) == {Status.CLOSED: len(placed)}


async def test_duplicate_and_old_reports_change_nothing() -> None:
    placed = _sample_orders(50)
    duplicated, usual = (
        await _simulate_orders(ChaosProfile(double=Decimal(1)), placed),
        await _simulate_orders(CALM_PROFILE, placed),
    )
    assert [len(steps[0].prices) for steps in duplicated] == [2] * 50
    assert [len(steps[1].prices) for steps in duplicated] == [3] * 50
    assert [steps[-1].order_after for steps in duplicated] == [steps[-1].order_after for steps in usual]


async def test_latency_matches_profile() -> None:
    placed = _sample_orders(100)
    steps_by_order = await _simulate_orders(
        ChaosProfile(latency=Latency(timedelta(seconds=1), timedelta(seconds=2))), placed
    )
    waits = [steps[0].due - order.created_at for steps, order in zip(steps_by_order, placed, strict=True)]
    assert timedelta(seconds=1) <= min(waits) < max(waits) <= timedelta(seconds=2)


async def test_hang_is_reported_as_timeout_and_retried() -> None:
    steps_by_order = await _simulate_orders(ChaosProfile(hang=Decimal("0.5")), _sample_orders(20))
    assert {step.failure.reason for steps in steps_by_order for step in steps if step.failure} == {"broker_timeout"}


async def test_chaos_is_deterministic_per_seed() -> None:
    placed, hostile = _sample_orders(50), get_chaos_profile("hostile")
    assert await _simulate_orders(hostile, placed) == await _simulate_orders(hostile, placed)
    other = ChaosBroker(MockBroker({}), hostile, "other", sleep=_skip_sleep)
    assert await _simulate_orders(hostile, placed) != [await simulate_order(other, order) for order in placed]


async def test_forced_outcome_bypasses_chaos() -> None:
    order = make_order(profile="instant", simulation=from_stored_text("outcome=take_profit"))
    (steps,) = await _simulate_orders(ChaosProfile(reject=Decimal(1), fail=Decimal(1)), [order])
    assert (len(steps), steps[-1].order_after.status) == (2, Status.CLOSED)


def test_custom_chaos_profiles_are_parsed() -> None:
    own = "rainy: fail=20% latency=50ms..300ms; strike: reject=100% late=0.5% late_by=1m"
    assert get_chaos_profile("rainy", own) == ChaosProfile(
        fail=Decimal("0.2"), latency=Latency(timedelta(milliseconds=50), timedelta(milliseconds=300))
    )
    assert get_chaos_profile("strike", own).late == Decimal("0.005")
    assert get_chaos_profile("calm", own) == CALM_PROFILE


@pytest.mark.parametrize("text", ["fail=20%", "a: fail=20", "a: fail=101%", "a: explode=1%", "a: latency=2s..1s", "A:"])
def test_invalid_chaos_profile_is_rejected_with_hint(text: str) -> None:
    with pytest.raises(ValueError, match="Write name: directives"):
        get_chaos_profile("calm", text)


def test_unknown_chaos_profile_error_lists_profiles() -> None:
    with pytest.raises(LookupError, match=r"no chaos profile 'stormy'; there are: calm, flaky, slow, hostile, rainy\."):
        get_chaos_profile("stormy", "rainy: fail=1%")


def test_calm_profile_does_not_wrap_the_broker() -> None:
    assert isinstance(factory.create_broker(Settings()), MockBroker)
    assert isinstance(factory.create_broker(make_settings(chaos="hostile")), ChaosBroker)
