"""Server-Sent Events (WHATWG HTML, section 9.2): one write for everything a subscriber is behind."""

from collections.abc import Sequence
from random import SystemRandom
from typing import Any, Final

import msgspec

from signalhub.streams import control_events
from signalhub.streams.channel import Frame, OutgoingMessage, PrunedRange
from signalhub.streams.connections import ConnectionWriter
from signalhub.streams.subscription import Subscription, format_cursor

_random = SystemRandom()
_encode_json = msgspec.json.Encoder().encode

END_MESSAGE: Final[Any] = {"type": "http.response.body", "body": b"", "more_body": False}


async def write_stream(writer: ConnectionWriter, heartbeat_s: float) -> None:
    """One response, from its first byte to the end of the subscription; the browser then comes back."""
    await writer.write([encode_opening(writer.subscription)])
    await writer.run(heartbeat_s, lambda: _encode_heartbeat(writer))


def encode_opening(subscription: Subscription) -> OutgoingMessage:
    # With jitter, or all who were cut together would come back together.
    blocks = [b"retry: %d\n\n" % _random.randint(800, 2200)]
    blocks += [
        _encode_control_event(one, subscription.epoch, subscription.seq)
        for one in control_events.build_opening(subscription)
    ]
    return to_message(b"".join(blocks))


def encode_events(items: Sequence[Frame | PrunedRange], epoch: str) -> list[OutgoingMessage]:
    return [to_message(b"".join([one.sse if isinstance(one, Frame) else _encode_gap(one, epoch) for one in items]))]


def to_message(text: bytes) -> OutgoingMessage:
    return OutgoingMessage({"type": "http.response.body", "body": text, "more_body": True}, len(text))


def _encode_gap(pruned_range: PrunedRange, epoch: str) -> bytes:
    return _encode_control_event(control_events.build_gap(epoch, pruned_range), epoch, pruned_range.last_seq)


def _encode_control_event(event: control_events.ControlEvent, epoch: str, seq: int) -> bytes:
    type_ = str(event.__struct_config__.tag).encode()
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        format_cursor(epoch, seq).encode(),
        type_,
        _encode_json(event),
    )


def _encode_heartbeat(writer: ConnectionWriter) -> OutgoingMessage:
    """The id moves a filtered stream's cursor on, though none of the events passed was for it."""
    subscription = writer.subscription
    if subscription.seq == writer.sent_seq:
        return to_message(b": heartbeat\n\n")
    return to_message(b": heartbeat\nid: %b\n\n" % format_cursor(subscription.epoch, subscription.seq).encode())
