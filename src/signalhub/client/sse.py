"""Incremental parser of Server-Sent Events, as WHATWG HTML 9.2.6 specifies.

Easy to get wrong: a line may end in CR, LF or CRLF, and a chunk between those two; an event without data is not
dispatched, but its id is in force; an id with a NUL is ignored; an incomplete event at the end is dropped.

Not `httpx-sse` 0.4.3, with which the tests compare: it dispatches events without data, takes a byte order mark for
part of the first field, holds back an event whose blank line is a CR until the next byte arrives, and accepts
`retry: -1` and `retry: 1_0`.

Separate because it knows neither HTTP nor this service.
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
    """`last_event_id` and `retry_ms` are those in force after the chunks fed so far."""

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry_ms: int | None = None
        self._decode_utf8 = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._is_at_start, self._skips_newline = True, False
        self._partial: list[str] = []
        self._id, self._type = last_event_id, ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that `chunk` completes. Exhaust the iterator before feeding the next chunk."""
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
        # A CR ends its line at once: waiting for a possible LF could mean waiting for the next event.
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
        # No data field is no event; an empty one is.
        return ServerSentEvent(type_ or "message", "\n".join(data), self._id) if data else None
