"""Event bodies and their hash chain."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from signalhub.domain.events import (
    EVENT_TYPES,
    Event,
    Head,
    NewEvent,
    OrderView,
    append_event,
    chain_hash,
    format_timestamp,
    order_event,
    to_order_view,
)
from signalhub.domain.order import Closed, CloseReason, Executed, ExecutionStats, apply
from tests.kit.order_factory import EURUSD_LIMIT_BUY, NOON, make_id, make_order


def _build_event_log(count: int) -> list[Event]:
    head, events = Head(), []
    for number in range(count):
        head, event = append_event(
            head, NewEvent(type=EVENT_TYPES[0], account_id=make_id(2), data={"n": number}, trace_id="t"), NOON
        )
        events.append(event)
    return events


def _chain_is_intact(events: list[Event]) -> bool:
    previous = b""
    for event in events:
        previous = chain_hash(previous, event.body)
        if previous != event.hash:
            return False
    return True


def test_event_numbers_have_no_gap_and_hash_chain_is_intact() -> None:
    events = _build_event_log(5)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert _chain_is_intact(events)


@pytest.mark.parametrize("index", range(5))
def test_hash_chain_detects_changed_removed_and_swapped_events(index: int) -> None:
    events = _build_event_log(6)
    changed = [*events]
    changed[index] = replace(events[index], body=events[index].body.replace(b"n", b"m"))
    assert not _chain_is_intact(changed)
    assert not _chain_is_intact(events[:index] + events[index + 1 :])
    assert not _chain_is_intact([*events[:index], events[index + 1], events[index], *events[index + 2 :]])


def test_event_body_is_one_line_with_fields_in_order() -> None:
    _, event = append_event(Head(41), order_event("order.pending", make_order()), NOON)
    assert event.body.startswith(b'{"seq":42,"type":"order.pending","at":"2026-01-01T12:00:00.000000Z","order_id":"')
    assert b"\n" not in event.body
    assert list(msgspec.json.decode(event.body)) == ["seq", "type", "at", "order_id", "signal_id", "trace_id", "data"]


@given(st.text())
def test_event_body_escapes_control_characters(text: str) -> None:
    new_event = NewEvent(type="signal.rejected", account_id=make_id(2), data={"raw": text}, trace_id="t")
    _, event = append_event(Head(), new_event, NOON)
    assert b"\n" not in event.body
    assert b"\r" not in event.body
    assert b"\0" not in event.body
    assert msgspec.json.decode(event.body)["data"]["raw"] == text


@pytest.mark.parametrize("price", ["1.0860", "0.00000001", "100", "1E+2", "1E-8"])
def test_order_view_keeps_all_digits_without_exponent(price: str) -> None:
    entry = to_order_view(make_order(terms=replace(EURUSD_LIMIT_BUY, entry=Decimal(price)))).entry
    assert entry is not None
    assert "E" not in entry
    assert Decimal(entry) == Decimal(price)


def test_order_view_fields_are_text_or_counts() -> None:
    order = apply(make_order(), Executed(Decimal("1.0860"), "b-1"), NOON)
    stats = ExecutionStats(mae=Decimal(1), mfe=Decimal(2), pip_size=Decimal(1), commission=Decimal(3))
    order = apply(order, Closed(Decimal("1.0890"), CloseReason.TIME, figures=stats), NOON)
    order = replace(order, expires_at=NOON, next_attempt_at=NOON)
    view = to_order_view(order)
    assert msgspec.convert(msgspec.structs.asdict(view), OrderView, from_attributes=True) == view


TIMESTAMPS = st.datetimes(timezones=st.just(UTC))


@given(TIMESTAMPS, TIMESTAMPS)
def test_formatted_timestamps_sort_like_their_instants(first: datetime, second: datetime) -> None:
    assert (format_timestamp(first) < format_timestamp(second)) == (first < second)
    assert datetime.fromisoformat(format_timestamp(first)) == first
    assert datetime.fromisoformat(format_timestamp(first)).utcoffset() == timedelta(0)
