"""The log without an end: connection after connection, each begun where the one before broke off."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Literal, Protocol

from signalhub.client import lines
from signalhub.client.errors import ClientError, Refused
from signalhub.client.items import Item, Ready, StreamMessage
from signalhub.client.pace import ReconnectBackoff
from signalhub.client.position import CursorTracker
from signalhub.client.target import ServiceConnection

Transport = Literal["sse", "websocket"]


class _StreamFunction(Protocol):
    def __call__(
        self, connection: ServiceConnection, query: dict[str, str], backoff: ReconnectBackoff, /
    ) -> AsyncGenerator[StreamMessage, None]: ...


_STREAM_FUNCTIONS: Final[dict[str, _StreamFunction]] = {"sse": lines.stream_sse, "websocket": lines.stream_websocket}


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
