"""One connection to the log, over either transport. It ends when the service ends it, or in a ClientError."""

from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from signalhub.client import sse
from signalhub.client.errors import ClientError, Refused, Unreachable, parse_refusal
from signalhub.client.items import CursorAdvanced, StreamMessage, decode_message
from signalhub.client.pace import ReconnectBackoff
from signalhub.client.target import ServiceConnection

_OK: Final = 200

# The service is heard from every 15 s at least; this much silence means that the line is dead.
_READ_TIMEOUT_S: Final = 45.0

# Close codes that a new connection would only meet again, and what the same is called over HTTP.
_FINAL_CLOSE_STATUSES: Final = {4401: 401, 4403: 403, 1008: 400}


async def stream_sse(
    connection: ServiceConnection, query: dict[str, str], backoff: ReconnectBackoff
) -> AsyncGenerator[StreamMessage, None]:
    """Follow `GET /api/v1/stream`."""
    parser = sse.Parser()
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    timeout = httpx.Timeout(10.0, read=_READ_TIMEOUT_S)
    try:
        async with connection.http.stream(
            "GET", "/api/v1/stream", params=query, headers=headers, timeout=timeout
        ) as reply:
            if reply.status_code != _OK:
                raise parse_refusal(reply.status_code, await reply.aread(), reply.headers.get("retry-after"))
            if not reply.headers.get("content-type", "").startswith("text/event-stream"):
                raise ClientError(f"What answers at {connection.url} is not this service.")
            async for piece in reply.aiter_bytes():
                for heard in _decode_chunk(parser, piece):
                    yield heard
                backoff.set_initial_delay(parser.retry_ms)
    except httpx.HTTPError as error:
        raise connection.to_unreachable(error) from None


def _decode_chunk(parser: sse.Parser, chunk: bytes) -> list[StreamMessage]:
    told, heard = parser.last_event_id, list[StreamMessage]()
    for event in parser.feed(chunk):
        told = event.last_event_id
        if (item := decode_message(event.data)) is not None:
            heard.append(item)
    return heard if parser.last_event_id == told else [*heard, CursorAdvanced(parser.last_event_id)]


async def stream_websocket(
    connection: ServiceConnection, query: dict[str, str], _backoff: ReconnectBackoff
) -> AsyncGenerator[StreamMessage, None]:
    """Follow `WS /ws/stream`."""
    url = f"{connection.websocket_url}/ws/stream?{urlencode(query)}"
    headers = {"X-API-Key": connection.api_key}
    try:
        async with connect(url, additional_headers=headers, proxy=connection.websocket_proxy, max_size=None) as socket:
            async for frame in socket:
                if (item := decode_message(frame)) is not None:
                    yield item
    except InvalidStatus as error:
        raise parse_refusal(error.response.status_code, bytes(error.response.body), None) from None
    except ConnectionClosed as error:
        _raise_for_close(error, connection)
    except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
        raise connection.to_unreachable(error) from None


def _raise_for_close(error: ConnectionClosed, connection: ServiceConnection) -> None:
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (None, "")
    if code in _FINAL_CLOSE_STATUSES:
        raise Refused(f"The stream was closed: {reason}.", status=_FINAL_CLOSE_STATUSES[code], code=reason) from None
    if code is None:
        raise Unreachable(f"The line to {connection.url} broke.") from None
