"""Server-Sent Events (WHATWG HTML, section 9.2): one write for everything a subscriber is behind."""

from collections.abc import Sequence
from random import SystemRandom
from typing import Any, Final

import msgspec

from signalhub.streams import cursor, notices
from signalhub.streams.channel import Frame, Gap, Parcel
from signalhub.streams.delivery import Delivery
from signalhub.streams.subscription import Subscription

_random = SystemRandom()
_encode = msgspec.json.Encoder().encode

END: Final[Any] = {"type": "http.response.body", "body": b"", "more_body": False}


async def stream(delivery: Delivery, heartbeat_s: float) -> None:
    """One response, from its first byte to the end of the subscription; the browser then comes back."""
    await delivery.write([opening(delivery.subscription)])
    await delivery.run(heartbeat_s, lambda: _heartbeat(delivery))


def opening(subscription: Subscription) -> Parcel:
    # With jitter, or all who were cut together would come back together.
    blocks = [b"retry: %d\n\n" % _random.randint(800, 2200)]
    blocks += [_notice(one, subscription.epoch, subscription.seq) for one in notices.opening(subscription)]
    return parcel(b"".join(blocks))


def dress(found: Sequence[Frame | Gap], epoch: str) -> list[Parcel]:
    return [parcel(b"".join([one.sse if isinstance(one, Frame) else _gap(one, epoch) for one in found]))]


def parcel(text: bytes) -> Parcel:
    return Parcel({"type": "http.response.body", "body": text, "more_body": True}, len(text))


def _gap(gap: Gap, epoch: str) -> bytes:
    return _notice(notices.pruned(epoch, gap), epoch, gap.last)


def _notice(notice: notices.Notice, epoch: str, seq: int) -> bytes:
    type_ = str(notice.__struct_config__.tag).encode()
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.render(epoch, seq).encode(), type_, _encode(notice))


def _heartbeat(delivery: Delivery) -> Parcel:
    """The id moves a filtered stream's cursor on, though none of the events passed was for it."""
    subscription = delivery.subscription
    if subscription.seq == delivery.told:
        return parcel(b": heartbeat\n\n")
    return parcel(b": heartbeat\nid: %b\n\n" % cursor.render(subscription.epoch, subscription.seq).encode())
