"""Decoders that cut messages out of a byte stream, fast enough for thousands of subscribers."""

from collections.abc import Iterator
from typing import Protocol

_EXTENDED_LENGTH = 126
_FINAL_TEXT_FRAME = 0x81


class StreamEndedError(Exception):
    """The server ended the stream, or sent something else than a stream."""


class MessageDecoder(Protocol):
    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that `data` completes."""


class ChunkedDecoder:
    """The chunked coding of HTTP/1.1 (RFC 9112, 7.1), without trailers."""

    def __init__(self) -> None:
        self._buffer = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        data, start = self._buffer + data, 0
        while (end := data.find(b"\r\n", start)) != -1:
            size = int(data[start:end], 16)
            if size == 0:
                raise StreamEndedError  # the regular end of a chunked body
            if end + 4 + size > len(data):
                break
            yield data[end + 2 : end + 2 + size]
            start = end + 4 + size
        self._buffer = data[start:]


class WebSocketDecoder:
    """Unmasked, unfragmented text frames of a WebSocket (RFC 6455, 5.2)."""

    def __init__(self) -> None:
        self._buffer = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        data, start = self._buffer + data, 0
        while (frame := _decode_frame(data, start)) is not None:
            start, message = frame
            yield message
        self._buffer = data[start:]


def _decode_frame(data: bytes, offset: int) -> tuple[int, bytes] | None:
    """Return the end of the frame that begins at `offset` and its payload, or None while it is incomplete."""
    if len(data) < offset + 2:
        return None
    kind, size, payload_start = data[offset], data[offset + 1], offset + 2
    if kind != _FINAL_TEXT_FRAME:
        raise StreamEndedError
    if size >= _EXTENDED_LENGTH:
        width = 2 if size == _EXTENDED_LENGTH else 8
        size = int.from_bytes(data[payload_start : payload_start + width])
        payload_start += width
    end = payload_start + size
    return (end, data[payload_start:end]) if end <= len(data) else None
