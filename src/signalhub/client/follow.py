"""Where a follower is in the log, across connections and transports: what makes each event come exactly once.

The log without an end: connection after connection, each begun where the one before broke off.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Literal, Protocol

from signalhub.client import transport
from signalhub.client.backoff import ReconnectBackoff
from signalhub.client.errors import ClientError, Refused
from signalhub.client.events import CursorAdvanced, Item, StreamMessage
from signalhub.client.transport import ServiceConnection
from signalhub.protocol import Event, Gap, Ready, Reset

_CURSOR_PATTERN: Final = re.compile(r"(?:([A-Za-z0-9]+)-)?(\d+)", re.ASCII)


class CursorTracker:
    """Begins at a cursor of the caller's, or nowhere, which means: from now on."""

    def __init__(self, after: int | str | None) -> None:
        self._initial_cursor = None if after is None else str(after)
        found = _CURSOR_PATTERN.fullmatch(self._initial_cursor or "")
        self.epoch: str | None = found[1] if found else None
        self.seq: int | None = int(found[2]) if found else None

    @property
    def cursor(self) -> str | None:
        """What to ask the service for next."""
        if self.seq is None:
            return self._initial_cursor
        return f"{self.epoch}-{self.seq}" if self.epoch else str(self.seq)

    def advance(self, message: StreamMessage) -> Item | None:
        """Move on, and answer with what the caller has not had yet."""
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
        # Where it disagrees with us a reset follows. Believed now, that reset would be lost if the line broke here.
        if self.cursor is None or (self.seq == ready.seq and self.epoch in {None, ready.epoch}):
            self.epoch, self.seq = ready.epoch, ready.seq

    def _advance_to(self, cursor: str) -> None:
        found = _CURSOR_PATTERN.fullmatch(cursor)
        if found and found[1] == self.epoch and self.seq is not None:
            self.seq = max(int(found[2]), self.seq)


Transport = Literal["sse", "websocket"]


class _StreamFunction(Protocol):
    def __call__(
        self, connection: ServiceConnection, query: dict[str, str], backoff: ReconnectBackoff, /
    ) -> AsyncGenerator[StreamMessage, None]: ...


_STREAM_FUNCTIONS: Final[dict[str, _StreamFunction]] = {
    "sse": transport.stream_sse,
    "websocket": transport.stream_websocket,
}


async def follow(
    connection: ServiceConnection,
    tracker: CursorTracker,
    types: str,
    *,
    transport: Transport,
    on_connection_change: Callable[[bool], None],
) -> AsyncGenerator[Item, None]:
    """Yield what is new, for ever. Raises only what a new connection would not mend, or a failure of the very first."""
    pace, was_connected = ReconnectBackoff(), False
    while True:
        pause_s = 0.0
        try:
            async with aclosing(_open_stream(connection, tracker, types, transport, pace)) as heard:
                async for one in heard:
                    if isinstance(one, Ready):
                        was_connected = True
                        pace.reset()
                        on_connection_change(True)
                    if (item := tracker.advance(one)) is not None:
                        yield item
        except ClientError as error:
            pause_s = error.retry_after_s if isinstance(error, Refused) else 0.0
            if not was_connected or (isinstance(error, Refused) and not error.is_passing):
                raise
        on_connection_change(False)
        await asyncio.sleep(pace.next_delay_s(pause_s))


def _open_stream(
    connection: ServiceConnection, tracker: CursorTracker, types: str, transport: Transport, backoff: ReconnectBackoff
) -> AsyncGenerator[StreamMessage, None]:
    query = {"after": tracker.cursor, "types": types or None}
    return _STREAM_FUNCTIONS[transport](
        connection, {name: text for name, text in query.items() if text is not None}, backoff
    )
