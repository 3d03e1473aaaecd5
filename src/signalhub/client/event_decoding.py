"""Decode the messages of a stream: events of the log, and control events about the stream itself."""

import msgspec

from signalhub.client.errors import ClientError
from signalhub.protocol import Event, Gap, Heartbeat, Ready, Reset


class CursorAdvanced(msgspec.Struct, frozen=True):
    """The stream has passed events that were filtered out; `cursor` is its position now."""

    cursor: str


Item = Event | Reset | Gap
StreamMessage = Item | Ready | CursorAdvanced


class _MessageType(msgspec.Struct):
    type: str


def decode_message(text: str | bytes) -> StreamMessage | None:
    """Decode one frame of a stream; None for a control event of a later version, which the client need not know.

    Raises ClientError for anything that this service does not send.
    """
    try:
        kind = msgspec.json.decode(text, type=_MessageType).type
        if kind in {"stream.ready", "stream.reset", "stream.gap"}:
            return msgspec.json.decode(text, type=Ready | Reset | Gap)
        if kind == "stream.heartbeat":
            heartbeat = msgspec.json.decode(text, type=Heartbeat)
            return CursorAdvanced(f"{heartbeat.epoch}-{heartbeat.seq}")
        if kind.partition(".")[0] in {"stream", "pong"}:
            return None
        raw = text.encode() if isinstance(text, str) else text
        return msgspec.structs.replace(msgspec.json.decode(raw, type=Event), raw=raw)
    except msgspec.MsgspecError:
        raise ClientError("What answers there is not this service, or one of a later version.") from None
