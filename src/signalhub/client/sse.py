"""Server-Sent Events as bytes in any pieces, read as WHATWG HTML 9.2.6 says.

Easy to get wrong: a line may end in CR, LF or CRLF, and a piece may end between those two; an event without data is
none, but its id counts all the same; an id with a NUL in it is ignored; what the end cuts off is dropped.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Final

import msgspec

_LINE_END: Final = re.compile(r"\r\n|\n|\r")  # not str.splitlines(), which knows many more


class ServerSentEvent(msgspec.Struct, frozen=True):
    type: str
    data: str
    last_event_id: str


class Parser:
    """`last_event_id` and `retry_ms` are those in force after what was fed so far."""

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry_ms: int | None = None
        self._decode_utf8 = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._is_at_start, self._skips_newline = True, False
        self._partial: list[str] = []
        self._id, self._type = last_event_id, ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that `piece` completes. The iterator must be run to its end before the next piece."""
        for line in self._split_lines(self._decode_utf8(chunk)):
            if line:
                self._process_field(line)
            elif (event := self._dispatch()) is not None:
                yield event

    def _split_lines(self, text: str) -> Iterator[str]:
        if text and self._is_at_start:
            text, self._is_at_start = text.removeprefix("\ufeff"), False
        if text and self._skips_newline:
            text, self._skips_newline = text.removeprefix("\n"), False
        *complete, rest = _LINE_END.split(text)
        for line in complete:
            yield "".join([*self._partial, line])
            self._partial.clear()
        self._partial.append(rest)
        # A CR ends its line at once: waiting to see whether an LF follows could mean waiting for the next event.
        self._skips_newline = self._skips_newline or text.endswith("\r")

    def _process_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> ServerSentEvent | None:
        self.last_event_id = self._id
        type_, data = self._type, self._data
        self._type, self._data = "", []
        # The specification's buffer would be empty, or one line end longer than this.
        return ServerSentEvent(type_ or "message", "\n".join(data), self._id) if data else None
