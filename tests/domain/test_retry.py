"""The retry schedule: delays, jitter and the number of attempts."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalhub.domain.retry import RetryPolicy
from tests.kit.order_factory import NOON


@given(st.integers(1, 10_000), st.text(max_size=40))
def test_retry_delay_doubles_up_to_maximum_with_half_jitter(attempts: int, order_id: str) -> None:
    policy = RetryPolicy(6, 0.5, 30)
    delay_s = (policy.schedule_next_attempt(order_id, attempts, NOON) - NOON).total_seconds()
    full_delay_s = min(30.0, 0.5 * 2 ** min(attempts - 1, 30))
    assert full_delay_s / 2 - 1e-6 <= delay_s <= full_delay_s + 1e-6


def test_retry_jitter_is_deterministic_per_order() -> None:
    policy = RetryPolicy(6, 0.5, 30)
    delays = {policy.schedule_next_attempt(f"order {number}", 3, NOON) - NOON for number in range(50)}
    assert policy.schedule_next_attempt("a", 3, NOON) == policy.schedule_next_attempt("a", 3, NOON)
    assert len(delays) > 20
    assert max(delays) - min(delays) > timedelta(seconds=0.5)


@pytest.mark.parametrize(("attempts", "is_exhausted"), [(1, False), (5, False), (6, True), (7, True)])
def test_retry_policy_counts_all_attempts(attempts: int, is_exhausted: bool) -> None:  # noqa: FBT001 - the expected answer
    assert RetryPolicy(6, 0.5, 30).is_exhausted(attempts) is is_exhausted
