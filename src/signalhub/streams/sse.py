"""Server-Sent Events (WHATWG HTML, section 9.2): one write for everything a subscriber is behind."""

from collections.abc import AsyncIterator
from random import SystemRandom

import msgspec

from signalhub.streams import cursor, notices
from signalhub.streams.channel import Frame
from signalhub.streams.subscription import Gap, Subscription

_random = SystemRandom()
_encode = msgspec.json.Encoder().encode


async def stream(subscription: Subscription, heartbeat_s: float) -> AsyncIterator[bytes]:
    """The bytes of one response. Ends by itself with the subscription; the browser then comes back."""
    # With jitter, or all who were cut together would come back together.
    yield b"retry: %d\n\n" % _random.randint(800, 2200)
    for notice in notices.opening(subscription):
        yield _notice(notice, subscription.epoch, subscription.seq)
    told = subscription.seq
    while True:
        found = await subscription.next(heartbeat_s)
        if subscription.ended is not None:
            return
        if found:
            yield b"".join(_render(one, subscription) for one in found)
        else:
            # The id moves a filtered stream's cursor on, though none of the events passed was for it.
            yield _heartbeat(subscription, told)
        told = subscription.seq


def _render(one: Frame | Gap, subscription: Subscription) -> bytes:
    if isinstance(one, Gap):
        return _notice(notices.pruned(subscription, one), subscription.epoch, one.last)
    return one.sse


def _notice(notice: notices.Notice, epoch: str, seq: int) -> bytes:
    type_ = str(notice.__struct_config__.tag).encode()
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.render(epoch, seq).encode(), type_, _encode(notice))


def _heartbeat(subscription: Subscription, told: int) -> bytes:
    if subscription.seq == told:
        return b": heartbeat\n\n"
    return b": heartbeat\nid: %b\n\n" % cursor.render(subscription.epoch, subscription.seq).encode()
