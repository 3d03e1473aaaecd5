"""Ids, the retry schedule, refusals and the cursor: small functions whose edges matter."""

from contextlib import suppress
from datetime import timedelta
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalhub.domain.errors import ERRORS, ErrorCode, SignalHubError
from signalhub.domain.events import EVENT_TYPES
from signalhub.domain.identifiers import parse_uuid7_time, uuid7
from signalhub.domain.retry import RetryPolicy
from signalhub.streams import event_filter
from signalhub.streams.subscription import format_cursor, resolve_cursor
from tests.kit.order_factory import NOON

MS = st.integers(0, 2**48 - 1)
NOISE = st.binary(min_size=10, max_size=10)


@given(MS, NOISE)
def test_uuid7_has_version_seven_and_timestamp(at_ms: int, noise: bytes) -> None:
    made = UUID(uuid7(at_ms, noise))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == at_ms


@given(MS, MS, NOISE, NOISE)
def test_uuid7_ids_sort_by_time(one: int, other: int, first: bytes, second: bytes) -> None:
    if one != other:
        assert (uuid7(one, first) < uuid7(other, second)) == (one < other)


def test_an_id_tells_its_age() -> None:
    assert parse_uuid7_time(uuid7(int(NOON.timestamp() * 1000), b"\0" * 10)) == NOON


@given(st.integers(1, 10_000), st.text(max_size=40))
def test_retry_delay_doubles_up_to_maximum_with_half_jitter(attempts: int, order_id: str) -> None:
    policy = RetryPolicy(6, 0.5, 30)
    wait = (policy.schedule_next_attempt(order_id, attempts, NOON) - NOON).total_seconds()
    full = min(30.0, 0.5 * 2 ** min(attempts - 1, 30))
    assert full / 2 - 1e-6 <= wait <= full + 1e-6


def test_retry_jitter_is_deterministic_per_order() -> None:
    policy = RetryPolicy(6, 0.5, 30)
    waits = {policy.schedule_next_attempt(f"order {number}", 3, NOON) - NOON for number in range(50)}
    assert policy.schedule_next_attempt("a", 3, NOON) == policy.schedule_next_attempt("a", 3, NOON)
    assert len(waits) > 20
    assert max(waits) - min(waits) > timedelta(seconds=0.5)


@pytest.mark.parametrize(("attempts", "is_spent"), [(1, False), (5, False), (6, True), (7, True)])
def test_retry_policy_counts_all_attempts(attempts: int, is_spent: bool) -> None:  # noqa: FBT001 - the expected answer
    assert RetryPolicy(6, 0.5, 30).is_exhausted(attempts) is is_spent


def test_unknown_error_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        SignalHubError("made_up")  # type: ignore[arg-type]  # the misspelt code that mypy reports too


def test_every_error_code_has_a_row_with_a_title() -> None:
    assert set(ERRORS) == set(get_args(ErrorCode))
    for code, error_type in ERRORS.items():
        assert code.isidentifier()
        assert error_type.title


@given(st.text(), st.integers(0, 2**53))
def test_cursor_never_starts_past_the_head(text: str, head: int) -> None:
    begin = resolve_cursor(text, epoch="e1", head=head)
    assert 0 <= begin.seq <= head
    if begin.reset_reason is not None:
        assert begin.seq == head


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_rendered_cursor_parses_back(seq: int, head: int) -> None:
    begin = resolve_cursor(format_cursor("e1", seq), epoch="e1", head=head)
    assert (begin.seq, begin.reset_reason) == ((seq, None) if seq <= head else (head, "future"))
    assert resolve_cursor(format_cursor("e2", seq), epoch="e1", head=head).reset_reason == "epoch"


def test_cursor_text_is_safe_for_cors_last_event_id() -> None:
    """Longer than 128 bytes or with odd characters, a Last-Event-ID is sent across origins only after asking."""
    text = format_cursor("159df5a8", 10**18)
    assert len(text) < 128
    assert all(letter.isalnum() or letter == "-" for letter in text)


@pytest.mark.parametrize(
    ("text", "names"),
    [("order.*", {one for one in EVENT_TYPES if one.startswith("order.")}), ("signal.rejected", {"signal.rejected"}),
     ("*", set(EVENT_TYPES)),
     (" order.closed , key.* ", {"order.closed", "key.created", "key.rotated", "key.revoked"})],
)  # fmt: skip
def test_event_filter_selects_types_by_pattern(text: str, names: set[str]) -> None:
    assert event_filter.select_types(text) == names


@given(st.text(min_size=1))
def test_event_filter_is_parsed_or_refused(text: str) -> None:
    with suppress(SignalHubError):
        assert event_filter.parse(text)(EVENT_TYPES[0]) in {True, False}
