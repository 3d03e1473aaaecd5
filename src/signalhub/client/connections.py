"""Connections to the service: HTTP requests, and one stream of the event log over SSE or WebSocket.

A stream ends when the service ends it, or raises ClientError; reconnecting is the business of `follow`.
"""

import ipaddress
from collections.abc import AsyncGenerator
from typing import Final, Literal
from urllib.parse import urlencode, urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from signalhub.client import sse
from signalhub.client.backoff import ReconnectBackoff
from signalhub.client.errors import ClientError, Refused, Unreachable, parse_refusal
from signalhub.client.event_decoding import CursorAdvanced, StreamMessage, decode_message


class ServiceConnection:
    """Address and key of a service. `http` is opened here and closed by the owner of the connection."""

    def __init__(self, url: str, api_key: str, *, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ClientError(f"{url!r} is no address of a service: it should look like http://127.0.0.1:8000.")
        if not api_key.isascii() or not api_key.isprintable():
            raise ClientError("The API key holds a character that no key has.")
        self.url, self.api_key = url.rstrip("/"), api_key
        # A proxy set for the internet cannot reach this machine.
        self._is_local = _is_loopback(parts.hostname)
        headers = {"X-API-Key": api_key} if api_key else {}
        self.http = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=timeout_s, trust_env=not self._is_local
        )

    @property
    def websocket_url(self) -> str:
        return "ws" + self.url.removeprefix("http")

    @property
    def websocket_proxy(self) -> Literal[True] | None:
        return None if self._is_local else True

    def to_unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, OSError)):
            return Unreachable(f"{self.url} cannot be reached: nothing answers there.")
        if isinstance(error, httpx.TimeoutException):
            return Unreachable(f"{self.url} did not answer in time.", is_uncertain=True)
        return Unreachable(f"The connection to {self.url} broke ({type(error).__name__}).", is_uncertain=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_OK: Final = 200

# The service sends a heartbeat every 15 s; three missing ones mean that the connection is dead.
_READ_TIMEOUT_S: Final = 45.0

# Shows the service that this reader is alive: at its limit of streams, those that have not answered give way.
_HEARTBEAT_ANSWER: Final = '{"type":"pong"}'

# Close codes that a new connection would meet again, with the HTTP status of the same refusal.
_FINAL_CLOSE_STATUSES: Final = {4401: 401, 4403: 403, 1008: 400}


async def stream_sse(
    connection: ServiceConnection, query: dict[str, str], backoff: ReconnectBackoff
) -> AsyncGenerator[StreamMessage, None]:
    """Yield the messages of `GET /api/v1/stream`."""
    parser = sse.Parser()
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    timeout = httpx.Timeout(10.0, read=_READ_TIMEOUT_S)
    try:
        async with connection.http.stream(
            "GET", "/api/v1/stream", params=query, headers=headers, timeout=timeout
        ) as response:
            if response.status_code != _OK:
                raise parse_refusal(response.status_code, await response.aread(), response.headers.get("retry-after"))
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ClientError(f"What answers at {connection.url} is not this service.")
            async for chunk in response.aiter_bytes():
                for message in _decode_chunk(parser, chunk):
                    yield message
                backoff.set_initial_delay(parser.retry_ms)
    except httpx.HTTPError as error:
        raise connection.to_unreachable(error) from None


def _decode_chunk(parser: sse.Parser, chunk: bytes) -> list[StreamMessage]:
    last_event_id, messages = parser.last_event_id, list[StreamMessage]()
    for event in parser.feed(chunk):
        last_event_id = event.last_event_id
        if (message := decode_message(event.data)) is not None:
            messages.append(message)
    # A service of an earlier release sends an id without data for events that a filter hides.
    if parser.last_event_id != last_event_id:
        messages.append(CursorAdvanced(parser.last_event_id))
    return messages


async def stream_websocket(
    connection: ServiceConnection, query: dict[str, str], _backoff: ReconnectBackoff
) -> AsyncGenerator[StreamMessage, None]:
    """Yield the messages of `WS /ws/stream`."""
    url = f"{connection.websocket_url}/ws/stream?{urlencode(query)}"
    headers = {"X-API-Key": connection.api_key}
    try:
        async with connect(url, additional_headers=headers, proxy=connection.websocket_proxy, max_size=None) as socket:
            async for frame in socket:
                if (message := decode_message(frame)) is not None:
                    if isinstance(message, CursorAdvanced):  # a heartbeat
                        await socket.send(_HEARTBEAT_ANSWER)
                    yield message
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
        raise Unreachable(f"The connection to {connection.url} broke.") from None
