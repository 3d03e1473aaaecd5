"""What a stream says: events of the log, and now and then a word about the stream itself."""

from datetime import datetime
from typing import Any

import msgspec

from signalhub.client.errors import ClientError


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, at its place `seq` in the account's log. `raw` is its JSON as the service wrote it."""

    seq: int
    type: str
    at: datetime
    order_id: str | None
    signal_id: str | None
    trace_id: str
    data: dict[str, Any]
    raw: bytes = b""


class Reset(msgspec.Struct, frozen=True, tag="stream.reset", tag_field="type"):
    """The place asked for is not in this log (`reason`): the stream goes on after `seq`. Load the `snapshot` anew."""

    epoch: str
    seq: int
    head: int
    reason: str
    snapshot: str


class Gap(msgspec.Struct, frozen=True, tag="stream.gap", tag_field="type"):
    """Events `first` to `last` are no longer kept; what they led to is in the `snapshot`."""

    epoch: str
    first: int
    last: int
    snapshot: str


class Ready(msgspec.Struct, frozen=True, tag="stream.ready", tag_field="type"):
    """The first word of a stream: it begins after `seq`. The client keeps it to itself."""

    epoch: str
    seq: int
    head: int


class CursorAdvanced(msgspec.Struct, frozen=True):
    """The stream has passed events that were filtered out; `cursor` is where it is now."""

    cursor: str


class _Heartbeat(msgspec.Struct, frozen=True, tag="stream.heartbeat", tag_field="type"):
    epoch: str
    seq: int


Item = Event | Reset | Gap
StreamMessage = Item | Ready | CursorAdvanced


class _MessageType(msgspec.Struct):
    type: str


def decode_message(text: str | bytes) -> StreamMessage | None:
    """One frame of a stream; None for a word of a later version that says nothing about the log."""
    try:
        return _decode_message(text)
    except msgspec.MsgspecError:
        raise ClientError("What answers there is not this service, or one of a later version.") from None


def _decode_message(text: str | bytes) -> StreamMessage | None:
    kind = msgspec.json.decode(text, type=_MessageType).type
    if kind in {"stream.ready", "stream.reset", "stream.gap"}:
        return msgspec.json.decode(text, type=Ready | Reset | Gap)
    if kind == "stream.heartbeat":
        beat = msgspec.json.decode(text, type=_Heartbeat)
        return CursorAdvanced(f"{beat.epoch}-{beat.seq}")
    if kind.partition(".")[0] in {"stream", "pong"}:
        return None
    raw = text.encode() if isinstance(text, str) else text
    return msgspec.structs.replace(msgspec.json.decode(raw, type=Event), raw=raw)
