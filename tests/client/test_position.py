"""A follower's place in the log, whatever the service says and whenever the line breaks."""

from datetime import UTC, datetime

from signalhub.client.items import CursorAdvanced, Event, Gap, Item, Ready, Reset
from signalhub.client.position import CursorTracker


def _event(seq: int) -> Event:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Event(seq=seq, type="order.closed", at=at, order_id=None, signal_id=None, trace_id="0" * 32, data={})


def _reset(seq: int) -> Reset:
    return Reset("new", seq, seq, "epoch", "/api/v1/orders")


def _seqs(position: CursorTracker, *seqs: int) -> list[int]:
    taken: list[Item | None] = [position.advance(_event(seq)) for seq in seqs]
    return [item.seq for item in taken if isinstance(item, Event)]


def test_an_event_that_comes_again_is_passed_over() -> None:
    assert _seqs(CursorTracker(3), 3, 4, 4, 5, 3) == [4, 5]


def test_who_has_seen_nothing_resumes_where_the_first_stream_began() -> None:
    position = CursorTracker(None)
    position.advance(Ready("e", 7, 7))
    assert position.cursor == "e-7"


def test_a_bare_number_becomes_a_place_in_an_epoch() -> None:
    position = CursorTracker(5)
    position.advance(Ready("e", 5, 9))
    assert position.cursor == "e-5"


def test_a_reset_is_not_lost_where_the_line_breaks_before_it() -> None:
    position = CursorTracker("old-5")
    position.advance(Ready("new", 9, 9))
    assert position.cursor == "old-5"
    assert position.advance(_reset(9)) == _reset(9)
    assert position.cursor == "new-9"


def test_after_a_reset_lower_numbers_are_new() -> None:
    position = CursorTracker("old-50")
    position.advance(_reset(2))
    assert _seqs(position, 2, 3) == [3]


def test_events_filtered_out_move_the_place_on_but_never_back() -> None:
    position = CursorTracker("e-5")
    position.advance(CursorAdvanced("e-8"))
    position.advance(CursorAdvanced("e-6"))
    position.advance(CursorAdvanced("other-9"))
    assert position.cursor == "e-8"


def test_a_gap_is_told_and_gone_past() -> None:
    position = CursorTracker("e-1")
    gap = Gap("e", 2, 9, "/api/v1/orders")
    assert position.advance(gap) == gap
    assert _seqs(position, 9, 10) == [10]
