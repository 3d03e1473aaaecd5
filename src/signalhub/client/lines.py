"""One connection to the log, over either transport. It ends when the service ends it, or in a ClientError."""

from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from signalhub.client import sse
from signalhub.client.errors import ClientError, Refused, Unreachable, refusal
from signalhub.client.items import Heard, Moved, read
from signalhub.client.pace import Pace
from signalhub.client.target import Target

_OK: Final = 200

# The service is heard from every 15 s at least; this much silence means that the line is dead.
_SILENCE_S: Final = 45.0

# Close codes that a new connection would only meet again, and what the same is called over HTTP.
_FINAL: Final = {4401: 401, 4403: 403, 1008: 400}


async def over_sse(target: Target, query: dict[str, str], pace: Pace) -> AsyncGenerator[Heard, None]:
    """Follow `GET /api/v1/stream`."""
    parser = sse.Parser()
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    timeout = httpx.Timeout(10.0, read=_SILENCE_S)
    try:
        async with target.http.stream("GET", "/api/v1/stream", params=query, headers=headers, timeout=timeout) as reply:
            if reply.status_code != _OK:
                raise refusal(reply.status_code, await reply.aread(), reply.headers.get("retry-after"))
            if not reply.headers.get("content-type", "").startswith("text/event-stream"):
                raise ClientError(f"What answers at {target.url} is not this service.")
            async for piece in reply.aiter_bytes():
                for heard in _heard(parser, piece):
                    yield heard
                pace.advise(parser.retry_ms)
    except httpx.HTTPError as error:
        raise target.unreachable(error) from None


def _heard(parser: sse.Parser, piece: bytes) -> list[Heard]:
    told, heard = parser.last_event_id, list[Heard]()
    for event in parser.feed(piece):
        told = event.last_event_id
        if (item := read(event.data)) is not None:
            heard.append(item)
    return heard if parser.last_event_id == told else [*heard, Moved(parser.last_event_id)]


async def over_websocket(target: Target, query: dict[str, str], _pace: Pace) -> AsyncGenerator[Heard, None]:
    """Follow `WS /ws/stream`."""
    url = f"{target.websocket_url}/ws/stream?{urlencode(query)}"
    headers = {"X-API-Key": target.api_key}
    try:
        async with connect(url, additional_headers=headers, proxy=target.websocket_proxy, max_size=None) as socket:
            async for frame in socket:
                if (item := read(frame)) is not None:
                    yield item
    except InvalidStatus as error:
        raise refusal(error.response.status_code, bytes(error.response.body), None) from None
    except ConnectionClosed as error:
        _judge(error, target)
    except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
        raise target.unreachable(error) from None


def _judge(error: ConnectionClosed, target: Target) -> None:
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (None, "")
    if code in _FINAL:
        raise Refused(f"The stream was closed: {reason}.", status=_FINAL[code], code=reason) from None
    if code is None:
        raise Unreachable(f"The line to {target.url} broke.") from None
