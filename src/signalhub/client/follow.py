"""Follow the event log over successive connections, each resumed at the cursor where the last one ended.

The service delivers an event at least once; `CursorTracker` drops the repetitions.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Literal

from signalhub.client.connections import (
    CursorAdvanced,
    Item,
    ReconnectBackoff,
    ServiceConnection,
    StreamMessage,
    stream_sse,
    stream_websocket,
)
from signalhub.client.errors import ClientError, Refused
from signalhub.protocol import Event, Gap, Ready, Reset

_CURSOR_PATTERN: Final = re.compile(r"(?:([A-Za-z0-9]+)-)?(\d+)", re.ASCII)


class CursorTracker:
    """Cursor of a follower. It starts at the caller's `after`, or with None at the next event."""

    def __init__(self, after: int | str | None) -> None:
        self._initial_cursor = None if after is None else str(after)
        match = _CURSOR_PATTERN.fullmatch(self._initial_cursor or "")
        self.epoch: str | None = match[1] if match else None
        self.seq: int | None = int(match[2]) if match else None

    @property
    def cursor(self) -> str | None:
        """Return the `after` of the next connection. A malformed one is passed on: the service says what is wrong."""
        if self.seq is None:
            return self._initial_cursor
        return f"{self.epoch}-{self.seq}" if self.epoch else str(self.seq)

    def advance(self, message: StreamMessage) -> Item | None:
        """Advance past `message`; return it where the caller is to see it and has not seen it before."""
        match message:
            case Ready():
                self._start_at(message)
                return None
            case CursorAdvanced():
                self._advance_to(message.cursor)
                return None
            case Reset():
                self.epoch, self.seq = message.epoch, message.seq
            case Gap():
                self.seq = max(message.last, self.seq or 0)
            case Event():
                if self.seq is not None and message.seq <= self.seq:
                    return None
                self.seq = message.seq
        return message

    def _start_at(self, ready: Ready) -> None:
        # Where it differs from our cursor a Reset follows. Adopted now, that Reset would be lost if the connection
        # broke in between.
        if self.cursor is None or (self.seq == ready.seq and self.epoch in {None, ready.epoch}):
            self.epoch, self.seq = ready.epoch, ready.seq

    def _advance_to(self, cursor: str) -> None:
        match = _CURSOR_PATTERN.fullmatch(cursor)
        if match and match[1] == self.epoch and self.seq is not None:
            self.seq = max(int(match[2]), self.seq)


Transport = Literal["sse", "websocket"]

_STREAM_FUNCTIONS: Final = {"sse": stream_sse, "websocket": stream_websocket}


async def follow(
    connection: ServiceConnection,
    tracker: CursorTracker,
    types: str,
    *,
    transport: Transport,
    on_connection_change: Callable[[bool], None],
) -> AsyncGenerator[Item, None]:
    """Yield each new item, endlessly, over as many connections as it takes.

    Raises ClientError when the first connection fails, or when a new one would be refused again.
    """
    backoff, was_connected = ReconnectBackoff(), False
    while True:
        min_delay_s = 0.0
        query = {"after": tracker.cursor, "types": types or None}
        stream = _STREAM_FUNCTIONS[transport](
            connection, {name: text for name, text in query.items() if text is not None}, backoff
        )
        try:
            async with aclosing(stream) as messages:
                async for message in messages:
                    if isinstance(message, Ready):
                        was_connected = True
                        backoff.reset()
                        on_connection_change(True)
                    if (item := tracker.advance(message)) is not None:
                        yield item
        except ClientError as error:
            min_delay_s = error.retry_after_s if isinstance(error, Refused) else 0.0
            if not was_connected or (isinstance(error, Refused) and not error.is_passing):
                raise
        on_connection_change(False)
        await asyncio.sleep(backoff.next_delay_s(min_delay_s))
