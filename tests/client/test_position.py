"""A follower's place in the log, whatever the service says and whenever the line breaks."""

from datetime import UTC, datetime

from signalhub.client.items import Event, Gap, Item, Moved, Ready, Reset
from signalhub.client.position import Position


def _event(seq: int) -> Event:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Event(seq=seq, type="order.closed", at=at, order_id=None, signal_id=None, trace_id="0" * 32, data={})


def _reset(seq: int) -> Reset:
    return Reset("new", seq, seq, "epoch", "/api/v1/orders")


def _seqs(position: Position, *seqs: int) -> list[int]:
    taken: list[Item | None] = [position.take(_event(seq)) for seq in seqs]
    return [item.seq for item in taken if isinstance(item, Event)]


def test_an_event_that_comes_again_is_passed_over() -> None:
    assert _seqs(Position(3), 3, 4, 4, 5, 3) == [4, 5]


def test_who_has_seen_nothing_resumes_where_the_first_stream_began() -> None:
    position = Position(None)
    position.take(Ready("e", 7, 7))
    assert position.cursor == "e-7"


def test_a_bare_number_becomes_a_place_in_an_epoch() -> None:
    position = Position(5)
    position.take(Ready("e", 5, 9))
    assert position.cursor == "e-5"


def test_a_reset_is_not_lost_where_the_line_breaks_before_it() -> None:
    position = Position("old-5")
    position.take(Ready("new", 9, 9))
    assert position.cursor == "old-5"
    assert position.take(_reset(9)) == _reset(9)
    assert position.cursor == "new-9"


def test_after_a_reset_lower_numbers_are_new() -> None:
    position = Position("old-50")
    position.take(_reset(2))
    assert _seqs(position, 2, 3) == [3]


def test_events_filtered_out_move_the_place_on_but_never_back() -> None:
    position = Position("e-5")
    position.take(Moved("e-8"))
    position.take(Moved("e-6"))
    position.take(Moved("other-9"))
    assert position.cursor == "e-8"


def test_a_gap_is_told_and_gone_past() -> None:
    position = Position("e-1")
    gap = Gap("e", 2, 9, "/api/v1/orders")
    assert position.take(gap) == gap
    assert _seqs(position, 9, 10) == [10]
