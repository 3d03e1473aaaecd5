"""The log without an end: connection after connection, each begun where the one before broke off."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Literal, Protocol

from signalhub.client import lines
from signalhub.client.errors import ClientError, Refused
from signalhub.client.items import Heard, Item, Ready
from signalhub.client.pace import Pace
from signalhub.client.position import Position
from signalhub.client.target import Target

Transport = Literal["sse", "websocket"]


class _Line(Protocol):
    def __call__(self, target: Target, query: dict[str, str], pace: Pace, /) -> AsyncGenerator[Heard, None]: ...


_LINES: Final[dict[str, _Line]] = {"sse": lines.over_sse, "websocket": lines.over_websocket}


async def follow(
    target: Target, position: Position, types: str, *, transport: Transport, told: Callable[[bool], None]
) -> AsyncGenerator[Item, None]:
    """Yield what is new, for ever. Raises only what a new connection would not mend, or a failure of the very first."""
    pace, was_connected = Pace(), False
    while True:
        pause_s = 0.0
        try:
            async with aclosing(_one_line(target, position, types, transport, pace)) as heard:
                async for one in heard:
                    if isinstance(one, Ready):
                        was_connected = True
                        pace.succeed()
                        told(True)
                    if (item := position.take(one)) is not None:
                        yield item
        except ClientError as error:
            pause_s = error.retry_after_s if isinstance(error, Refused) else 0.0
            if not was_connected or (isinstance(error, Refused) and not error.is_passing):
                raise
        told(False)
        await asyncio.sleep(pace.wait_s(pause_s))


def _one_line(
    target: Target, position: Position, types: str, transport: Transport, pace: Pace
) -> AsyncGenerator[Heard, None]:
    query = {"after": position.cursor, "types": types or None}
    return _LINES[transport](target, {name: text for name, text in query.items() if text is not None}, pace)
