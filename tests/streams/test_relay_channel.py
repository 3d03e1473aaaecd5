"""How a channel notifies its listeners of new events."""

import asyncio
import time

from signalhub.domain.events import EventCriteria
from signalhub.streams.account_channel import Channel, encode_frame
from signalhub.streams.event_filter import create_filter
from signalhub.streams.sse_frames import encode_events

MAX_DELAYED_NOTIFICATIONS = 5
"""A busy machine may delay a few of twenty notifications and the pauses after them."""


def _record_heads(channel: Channel, takes_s: float) -> list[int]:
    """Add a listener that takes `takes_s`, and return the list of heads that it will have seen."""
    heads: list[int] = []

    def record_head() -> None:
        heads.append(channel.head)
        if takes_s:  # even a sleep of 0 s yields the core
            time.sleep(takes_s)

    channel.listeners.add(record_head)
    return heads


async def _push(channel: Channel, *seqs: int) -> None:
    for seq in seqs:
        assert channel.push(encode_frame("e", seq, "order.pending", b"{}"))
        await asyncio.sleep(0)


async def test_events_during_a_slow_notification_are_coalesced() -> None:
    channel = Channel("a", "e")
    channel.start(0)
    heads = _record_heads(channel, takes_s=0.03)
    await _push(channel, *range(1, 21))
    await asyncio.sleep(0.1)
    assert heads[-1] == 20
    assert len(heads) <= MAX_DELAYED_NOTIFICATIONS


async def test_fast_listeners_are_notified_without_delay() -> None:
    channel = Channel("a", "e")
    channel.start(0)
    heads = _record_heads(channel, takes_s=0)
    for seq in range(1, 21):
        await asyncio.sleep(0.002)
        await _push(channel, seq)
    assert len(heads) >= 20 - MAX_DELAYED_NOTIFICATIONS


async def test_event_that_a_filter_hides_is_not_delivered() -> None:
    channel = Channel("a", "e")
    channel.start(0)
    for seq, type_ in enumerate(("order.pending", "order.executed"), 1):
        channel.push(encode_frame("e", seq, type_, b"{}"))
    channel.encode_after(0, create_filter(EventCriteria(types=frozenset({"order.executed"}))), encode_events)
    assert channel.find_delivery_time(1) is None
    assert channel.find_delivery_time(2) is not None
