"""Connections to the service: HTTP requests, and one stream of the event log with its messages, over SSE or WebSocket.

A stream ends when the service ends it, or raises ClientError: also where it has fallen silent, which is how a network
that drops packets looks from here. `follow` opens the next one, after the delay of `ReconnectBackoff`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack
from random import SystemRandom
from typing import Final, Literal, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from signalhub import server_urls
from signalhub.client import sse
from signalhub.client.errors import ClientError, Refused, Unreachable, parse_refusal
from signalhub.protocol import Event, Gap, Heartbeat, Ready, Reset


class CursorAdvanced(msgspec.Struct, frozen=True):
    """The stream has passed events that were filtered out; `cursor` is its position now."""

    cursor: str


Item = Event | Reset | Gap
StreamMessage = Item | Ready | CursorAdvanced


class _MessageType(msgspec.Struct):
    type: str


def decode_message(text: str | bytes) -> StreamMessage | None:
    """Decode one frame of a stream; None for a control event of a later version, which the client need not know.

    Raises ClientError for anything that this service does not send.
    """
    try:
        kind = msgspec.json.decode(text, type=_MessageType).type
        if kind in {"stream.ready", "stream.reset", "stream.gap"}:
            return msgspec.json.decode(text, type=Ready | Reset | Gap)
        if kind == "stream.heartbeat":
            heartbeat = msgspec.json.decode(text, type=Heartbeat)
            return CursorAdvanced(f"{heartbeat.epoch}-{heartbeat.seq}")
        if kind.partition(".")[0] in {"stream", "pong"}:
            return None
        raw = text.encode() if isinstance(text, str) else text
        return msgspec.structs.replace(msgspec.json.decode(raw, type=Event), raw=raw)
    except msgspec.MsgspecError:
        raise ClientError("What answers there is not this service, or one of a later version.") from None


_MAX_DELAY_S: Final = 10.0
_MAX_DOUBLINGS: Final = 6

_jitter = SystemRandom()


class ReconnectBackoff:
    """Delay before the next connection: the service's advice, doubled with each failure in a row, with jitter."""

    def __init__(self, initial_delay_s: float = 1.0) -> None:
        self._initial_delay_s = initial_delay_s
        self._failures = 0

    def set_initial_delay(self, retry_ms: int | None) -> None:
        if retry_ms is not None:
            self._initial_delay_s = retry_ms / 1000

    def reset(self) -> None:
        self._failures = 0

    def next_delay_s(self, min_delay_s: float = 0.0) -> float:
        """Return the delay before the next attempt, at least `min_delay_s`, and count one more failure."""
        delay_s: float = min(self._initial_delay_s * 2**self._failures, max(_MAX_DELAY_S, self._initial_delay_s))
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
        # Without jitter all clients that lost their connection together would reconnect together.
        return max(min_delay_s, delay_s * _jitter.uniform(0.5, 1.0))


ResultT = TypeVar("ResultT")


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
        self._is_local = server_urls.is_loopback(parts.hostname)
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


_OK: Final = 200

_MAX_MISSED_HEARTBEATS: Final = 2
_OPEN_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 0.5

# Shows the service that this reader is alive: at its limit of streams, those that have not answered give way.
_HEARTBEAT_ANSWER: Final = '{"type":"pong"}'

# Close codes that a new connection would meet again, with the HTTP status of the same refusal.
_FINAL_CLOSE_STATUSES: Final = {4401: 401, 4403: 403, 1008: 400}


class SilenceLimit:
    """Bounds the wait for the next message of one stream: until `stream.ready`, and from then on by its heartbeats."""

    def __init__(self, connection: ServiceConnection) -> None:
        self._connection, self._max_silence_s = connection, _OPEN_TIMEOUT_S

    def observe(self, message: StreamMessage) -> None:
        """Adopt the heartbeat interval of a stream that begins."""
        if isinstance(message, Ready):
            self._max_silence_s = _MAX_MISSED_HEARTBEATS * message.heartbeat_s

    async def wait_for(self, step: Awaitable[ResultT]) -> ResultT:
        """Return the result of `step`. Raises Unreachable where it takes too long."""
        try:
            async with asyncio.timeout(self._max_silence_s):
                return await step
        except TimeoutError:
            silence = f"{self._connection.url} has sent nothing for {self._max_silence_s:g} s, not even a heartbeat."
            raise Unreachable(silence, is_uncertain=True) from None


async def stream_sse(
    connection: ServiceConnection, query: dict[str, str], backoff: ReconnectBackoff
) -> AsyncGenerator[StreamMessage, None]:
    """Yield the messages of `GET /api/v1/stream`."""
    parser, silence_limit = sse.Parser(), SilenceLimit(connection)
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    request = connection.http.stream(
        "GET", "/api/v1/stream", params=query, headers=headers, timeout=httpx.Timeout(_OPEN_TIMEOUT_S, read=None)
    )
    try:
        async with AsyncExitStack() as stack:
            response = await silence_limit.wait_for(stack.enter_async_context(request))
            if response.status_code != _OK:
                raise parse_refusal(response.status_code, await response.aread(), response.headers.get("retry-after"))
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ClientError(f"What answers at {connection.url} is not this service.")
            chunks = response.aiter_bytes()
            while (chunk := await silence_limit.wait_for(anext(chunks, None))) is not None:
                for message in _decode_chunk(parser, chunk):
                    silence_limit.observe(message)
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
    opening = connect(
        url,
        additional_headers={"X-API-Key": connection.api_key},
        proxy=connection.websocket_proxy,
        max_size=None,
        open_timeout=_OPEN_TIMEOUT_S,
        close_timeout=_CLOSE_TIMEOUT_S,  # a dead connection does not answer a close frame either
    )
    silence_limit = SilenceLimit(connection)
    try:
        async with opening as socket:
            while True:
                if (message := decode_message(await silence_limit.wait_for(socket.recv()))) is not None:
                    silence_limit.observe(message)
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
