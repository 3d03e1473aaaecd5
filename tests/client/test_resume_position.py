"""A follower's place in the log, whatever the service says and whenever the line breaks."""

from datetime import UTC, datetime

from signalhub.client.events import CursorAdvanced, Item
from signalhub.client.follow import CursorTracker
from signalhub.protocol import Event, Gap, Ready, Reset


def _event(seq: int) -> Event:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Event(seq=seq, type="order.closed", at=at, order_id=None, signal_id=None, trace_id="0" * 32, data={})


def _reset(seq: int) -> Reset:
    return Reset("new", seq, seq, "epoch", "/api/v1/orders")


def _seqs(position: CursorTracker, *seqs: int) -> list[int]:
    taken: list[Item | None] = [position.advance(_event(seq)) for seq in seqs]
    return [item.seq for item in taken if isinstance(item, Event)]


def test_duplicate_event_is_skipped() -> None:
    assert _seqs(CursorTracker(3), 3, 4, 4, 5, 3) == [4, 5]


def test_follower_without_events_resumes_at_first_ready() -> None:
    position = CursorTracker(None)
    position.advance(Ready("e", 7, 7))
    assert position.cursor == "e-7"


def test_bare_seq_gets_the_epoch_of_ready() -> None:
    position = CursorTracker(5)
    position.advance(Ready("e", 5, 9))
    assert position.cursor == "e-5"


def test_reset_survives_a_broken_connection() -> None:
    position = CursorTracker("old-5")
    position.advance(Ready("new", 9, 9))
    assert position.cursor == "old-5"
    assert position.advance(_reset(9)) == _reset(9)
    assert position.cursor == "new-9"


def test_after_a_reset_lower_numbers_are_new() -> None:
    position = CursorTracker("old-50")
    position.advance(_reset(2))
    assert _seqs(position, 2, 3) == [3]


def test_filtered_events_only_advance_the_cursor() -> None:
    position = CursorTracker("e-5")
    position.advance(CursorAdvanced("e-8"))
    position.advance(CursorAdvanced("e-6"))
    position.advance(CursorAdvanced("other-9"))
    assert position.cursor == "e-8"


def test_gap_is_yielded_and_skipped() -> None:
    position = CursorTracker("e-1")
    gap = Gap("e", 2, 9, "/api/v1/orders")
    assert position.advance(gap) == gap
    assert _seqs(position, 9, 10) == [10]
