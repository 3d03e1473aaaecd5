"""Encode a stream as Server-Sent Events (WHATWG HTML, section 9.2): one write for all that is new.

Every block is an event with a type and data, and its id, if any, is the last line. A block without data is no event to
a browser, but some clients hand it on as an empty message. `account_channel.encode_frame` says why the id is last.

Separate because it is the counterpart of `websocket_frames`: one module for each wire format.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from signalhub.streams import control_events
from signalhub.streams.account_channel import Frame, OutgoingMessage, PrunedRange
from signalhub.streams.subscription import Connection, Subscription, format_cursor

_encode_json = msgspec.json.Encoder().encode

END_MESSAGE: Final[Any] = {"type": "http.response.body", "body": b"", "more_body": False}


async def write_stream(connection: Connection, heartbeat_s: float) -> None:
    """Write a response body, from its first byte to the end of the subscription."""
    await connection.send([encode_opening(connection.subscription, heartbeat_s)])
    await connection.run(heartbeat_s, lambda: encode_heartbeat(connection.subscription))
    if connection.subscription.end_reason == "replaced":
        await connection.send([to_message(encode_refusal(control_events.build_replaced()))])


def encode_opening(subscription: Subscription, heartbeat_s: float) -> OutgoingMessage:
    cursor = format_cursor(subscription.epoch, subscription.seq)
    events = control_events.build_opening(subscription, heartbeat_s)
    blocks = [encode_control_event(event, cursor) for event in events]
    return to_message(b"retry: %d\n%b" % (control_events.choose_retry_ms(), b"".join(blocks)))


def encode_refusal(event: control_events.Refusal) -> bytes:
    """Encode the last block of a body, which says when to come back."""
    return b"retry: %d\n%b" % (event.retry_ms, encode_control_event(event, None))


def encode_events(items: Sequence[Frame | PrunedRange], epoch: str) -> list[OutgoingMessage]:
    return [to_message(b"".join([item.sse if isinstance(item, Frame) else _encode_gap(item, epoch) for item in items]))]


def encode_heartbeat(subscription: Subscription) -> OutgoingMessage:
    """Encode a heartbeat. It has an id where a filtered stream has passed events that it does not show."""
    cursor = format_cursor(subscription.epoch, subscription.seq) if subscription.seq != subscription.sent_seq else None
    return to_message(encode_control_event(control_events.build_heartbeat(subscription), cursor))


def to_message(text: bytes) -> OutgoingMessage:
    return OutgoingMessage({"type": "http.response.body", "body": text, "more_body": True}, len(text))


def _encode_gap(pruned_range: PrunedRange, epoch: str) -> bytes:
    cursor = format_cursor(epoch, pruned_range.last_seq)
    return encode_control_event(control_events.build_gap(epoch, pruned_range), cursor)


def encode_control_event(event: control_events.ControlEvent, cursor: str | None) -> bytes:
    """Encode a control event. Without a `cursor`, the position of the client stays where it is."""
    id_line = b"" if cursor is None else b"id: %b\n" % cursor.encode()
    return b"event: %b\ndata: %b\n%b\n" % (str(event.__struct_config__.tag).encode(), _encode_json(event), id_line)
