"""Two ways in which messages are cut out of a stream of bytes, as cheaply as Python can."""

from collections.abc import Iterator
from typing import Protocol

_EXTENDED_LENGTH = 126
_FINAL_TEXT_FRAME = 0x81


class StreamEndedError(Exception):
    """The other side said something else than a stream."""


class MessageDecoder(Protocol):
    def decode(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes."""


class ChunkedDecoder:
    """The chunked coding of HTTP/1.1 (RFC 9112, 7.1), without trailers."""

    def __init__(self) -> None:
        self._buffer = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        data, begin = self._buffer + data, 0
        while (end := data.find(b"\r\n", begin)) != -1:
            size = int(data[begin:end], 16)
            if size == 0:
                raise StreamEndedError  # that was all of it, politely
            if end + 4 + size > len(data):
                break
            yield data[end + 2 : end + 2 + size]
            begin = end + 4 + size
        self._buffer = data[begin:]


class WebSocketDecoder:
    """Unmasked text frames of a WebSocket (RFC 6455, 5.2), each of them whole."""

    def __init__(self) -> None:
        self._buffer = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        data, begin = self._buffer + data, 0
        while (found := _decode_frame(data, begin)) is not None:
            begin, message = found
            yield message
        self._buffer = data[begin:]


def _decode_frame(data: bytes, offset: int) -> tuple[int, bytes] | None:
    """Where the frame that begins at `begin` ends, and what it says; None while it is not whole."""
    if len(data) < offset + 2:
        return None
    kind, size, at = data[offset], data[offset + 1], offset + 2
    if kind != _FINAL_TEXT_FRAME:
        raise StreamEndedError
    if size >= _EXTENDED_LENGTH:
        width = 2 if size == _EXTENDED_LENGTH else 8
        size, at = int.from_bytes(data[at : at + width]), at + width
    return (at + size, data[at : at + size]) if at + size <= len(data) else None
