"""Encode a stream as Server-Sent Events (WHATWG HTML, section 9.2): one write for all that is new.

Separate because it is the counterpart of `websocket_frames`: one module for each wire format.
"""

from collections.abc import Sequence
from random import SystemRandom
from typing import Any, Final

import msgspec

from signalhub.streams import control_events
from signalhub.streams.account_channel import Frame, OutgoingMessage, PrunedRange
from signalhub.streams.subscription import Connection, Subscription, format_cursor

_random = SystemRandom()
_encode_json = msgspec.json.Encoder().encode

END_MESSAGE: Final[Any] = {"type": "http.response.body", "body": b"", "more_body": False}


async def write_stream(connection: Connection, heartbeat_s: float) -> None:
    """Write a response body, from its first byte to the end of the subscription."""
    await connection.send([encode_opening(connection.subscription)])
    await connection.run(heartbeat_s, lambda: encode_heartbeat(connection))


def encode_opening(subscription: Subscription) -> OutgoingMessage:
    # With jitter, or all clients that were disconnected together would reconnect together.
    blocks = [b"retry: %d\n\n" % _random.randint(800, 2200)]
    blocks += [
        _encode_control_event(event, subscription.epoch, subscription.seq)
        for event in control_events.build_opening(subscription)
    ]
    return to_message(b"".join(blocks))


def encode_events(items: Sequence[Frame | PrunedRange], epoch: str) -> list[OutgoingMessage]:
    return [to_message(b"".join([item.sse if isinstance(item, Frame) else _encode_gap(item, epoch) for item in items]))]


def encode_heartbeat(connection: Connection) -> OutgoingMessage:
    """Encode a comment, with an id where a filtered stream has passed events that it does not show."""
    subscription = connection.subscription
    if subscription.seq == connection.sent_seq:
        return to_message(b": heartbeat\n\n")
    return to_message(b": heartbeat\nid: %b\n\n" % format_cursor(subscription.epoch, subscription.seq).encode())


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
