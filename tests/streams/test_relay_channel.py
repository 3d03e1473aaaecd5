"""How an account's news is told to those who listen."""

import asyncio
import time

from signalhub.streams.channel import Channel, encode_frame

_A_FEW = 5
"""A machine that is busy elsewhere may hold up a few of twenty tellings, and the rests after them; not most."""


def _told(channel: Channel, takes_s: float) -> list[int]:
    """The ends of the log that a listener is told of, who needs `takes_s` to hear it."""
    heads: list[int] = []

    def listen() -> None:
        heads.append(channel.head)
        if takes_s:  # even a sleep of nothing gives the core away
            time.sleep(takes_s)

    channel.listeners.add(listen)
    return heads


async def _push(channel: Channel, *seqs: int) -> None:
    for seq in seqs:
        assert channel.push(encode_frame("e", seq, "order.pending", b"{}"))
        await asyncio.sleep(0)


async def test_events_during_a_slow_notification_are_coalesced() -> None:
    channel = Channel("a", "e")
    channel.start(0)
    heads = _told(channel, takes_s=0.03)
    await _push(channel, *range(1, 21))
    await asyncio.sleep(0.1)
    assert heads[-1] == 20
    assert len(heads) <= _A_FEW


async def test_fast_listeners_are_notified_without_delay() -> None:
    channel = Channel("a", "e")
    channel.start(0)
    heads = _told(channel, takes_s=0)
    for seq in range(1, 21):
        await asyncio.sleep(0.002)
        await _push(channel, seq)
    assert len(heads) >= 20 - _A_FEW
