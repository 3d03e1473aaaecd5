"""A follower's cursor, whatever the service sends and whenever the connection breaks."""

from datetime import UTC, datetime

from signalhub.client.connections import CursorAdvanced, Item
from signalhub.client.follow import CursorTracker
from signalhub.protocol import Event, Gap, Ready, Reset


def _event(seq: int) -> Event:
    created_at = datetime(2026, 1, 1, tzinfo=UTC)
    return Event(seq=seq, type="order.closed", at=created_at, order_id=None, signal_id=None, trace_id="0" * 32, data={})


def _reset(seq: int) -> Reset:
    return Reset("new", seq, seq, "epoch", "/api/v1/orders")


def _seqs(tracker: CursorTracker, *seqs: int) -> list[int]:
    items: list[Item | None] = [tracker.advance(_event(seq)) for seq in seqs]
    return [item.seq for item in items if isinstance(item, Event)]


def test_duplicate_event_is_skipped() -> None:
    assert _seqs(CursorTracker(3), 3, 4, 4, 5, 3) == [4, 5]


def test_follower_without_events_resumes_at_first_ready() -> None:
    tracker = CursorTracker(None)
    tracker.advance(Ready("e", 7, 7))
    assert tracker.cursor == "e-7"


def test_bare_seq_gets_the_epoch_of_ready() -> None:
    tracker = CursorTracker(5)
    tracker.advance(Ready("e", 5, 9))
    assert tracker.cursor == "e-5"


def test_reset_survives_a_broken_connection() -> None:
    tracker = CursorTracker("old-5")
    tracker.advance(Ready("new", 9, 9))
    assert tracker.cursor == "old-5"
    assert tracker.advance(_reset(9)) == _reset(9)
    assert tracker.cursor == "new-9"


def test_lower_seqs_after_reset_are_new() -> None:
    tracker = CursorTracker("old-50")
    tracker.advance(_reset(2))
    assert _seqs(tracker, 2, 3) == [3]


def test_filtered_events_only_advance_the_cursor() -> None:
    tracker = CursorTracker("e-5")
    tracker.advance(CursorAdvanced("e-8"))
    tracker.advance(CursorAdvanced("e-6"))
    tracker.advance(CursorAdvanced("other-9"))
    assert tracker.cursor == "e-8"


def test_gap_is_yielded_and_skipped() -> None:
    tracker = CursorTracker("e-1")
    gap = Gap("e", 2, 9, "/api/v1/orders")
    assert tracker.advance(gap) == gap
    assert _seqs(tracker, 9, 10) == [10]
