"""Cursors and event filters as clients send them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import EVENT_TYPES
from signalhub.streams import event_filter
from signalhub.streams.subscription import format_cursor, resolve_cursor


@given(st.text(), st.integers(0, 2**53))
def test_cursor_never_starts_past_the_head(text: str, head: int) -> None:
    start = resolve_cursor(text, epoch="e1", head=head)
    assert 0 <= start.seq <= head
    if start.reset_reason is not None:
        assert start.seq == head


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_formatted_cursor_parses_back(seq: int, head: int) -> None:
    start = resolve_cursor(format_cursor("e1", seq), epoch="e1", head=head)
    assert (start.seq, start.reset_reason) == ((seq, None) if seq <= head else (head, "future"))
    assert resolve_cursor(format_cursor("e2", seq), epoch="e1", head=head).reset_reason == "epoch"


def test_cursor_text_is_safe_for_cors_last_event_id() -> None:
    """A browser sends another Last-Event-ID across origins only after a preflight request."""
    text = format_cursor("159df5a8", 10**18)
    assert len(text) < 128
    assert all(letter.isalnum() or letter == "-" for letter in text)


@pytest.mark.parametrize(
    ("text", "names"),
    [("order.*", {type_ for type_ in EVENT_TYPES if type_.startswith("order.")}),
     ("signal.rejected", {"signal.rejected"}),
     ("*", set(EVENT_TYPES)),
     (" order.closed , key.* ", {"order.closed", "key.created", "key.rotated", "key.revoked"})],
)  # fmt: skip
def test_event_filter_selects_types_by_pattern(text: str, names: set[str]) -> None:
    assert event_filter.select_types(text.split(",")) == names


@given(st.lists(st.text()))
def test_event_filter_is_parsed_or_refused(patterns: list[str]) -> None:
    with suppress(SignalHubError):
        assert event_filter.select_types(patterns) <= set(EVENT_TYPES)
