"""Lightweight stream subscribers for load tests: raw sockets and one regular expression.

A subscriber is one client over all its sessions. It keeps the cursor of the last complete event, picks a transport at
random for each session, and can break off in the middle of a frame. It records the number and a digest of each event,
so that thousands of subscribers fit on one machine with the servers.
"""

import asyncio
import random
import re
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

import msgspec

from tests.kit.stream_decoders import ChunkedDecoder, MessageDecoder, StreamEndedError, WebSocketDecoder

_SSE_FRAME_PATTERN: Final = re.compile(rb"(?:retry: \d+\n)?event: (\S+)\ndata: (.*)\nid: ([0-9a-f]+)-(\d+)")
_EVENT_BODY_PATTERN: Final = re.compile(rb'\{"seq":(\d+),')
_CONNECT_TIMEOUT_S: Final = 10.0

TRANSPORTS: Final = ("sse", "websocket", "batch")


class SubscriberBehavior(msgspec.Struct, frozen=True, kw_only=True):
    """`mean_cut_interval_s` is the mean time until a session breaks off in the middle of a frame; 0 means never.

    With `is_reading` false the subscriber opens streams and takes no more than the system's buffers hold.
    """

    transports: Sequence[str] = TRANSPORTS
    mean_cut_interval_s: float = 0.0
    reconnect_delay_range_s: tuple[float, float] = (0.8, 2.2)
    is_reading: bool = True


class Subscriber:
    """`seqs` and `digests` hold every event in order, `control_messages` the resets and gaps.

    It follows from the event after `after`.
    """

    def __init__(
        self, address: tuple[str, int], account_id: str, key: str, behavior: SubscriberBehavior, *, after: int = 0
    ) -> None:
        self.account_id, self.behavior, self.after = account_id, behavior, after
        self.seqs, self.digests, self.control_messages = array("Q"), array("q"), list[str]()
        self.epoch, self.sessions, self.cuts, self.refusals = b"", 0, 0, 0
        self.is_open = False
        self._address, self._key = address, key
        self._rng = random.Random(id(self))  # noqa: S311 - no secret depends on it
        self._task: asyncio.Task[None] | None = None
        self._protocol: _SubscriberProtocol | None = None

    @property
    def seq(self) -> int:
        return self.seqs[-1] if self.seqs else self.after

    @property
    def cursor(self) -> str:
        return f"{self.epoch.decode()}-{self.seq}" if self.epoch else str(self.seq)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run_sessions())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def record_event(self, body: bytes, seq: bytes) -> None:
        self.seqs.append(int(seq))
        self.digests.append(hash(body))

    async def _run_sessions(self) -> None:
        while True:
            with suppress(OSError, TimeoutError):
                await self._run_session(self._rng.choice(self.behavior.transports))
            await asyncio.sleep(self._rng.uniform(*self.behavior.reconnect_delay_range_s))

    async def _run_session(self, transport: str) -> None:
        loop = asyncio.get_running_loop()
        cut_after_s = (
            self._rng.expovariate(1 / self.behavior.mean_cut_interval_s) if self.behavior.mean_cut_interval_s else 0.0
        )
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, protocol = await loop.create_connection(lambda: _PROTOCOLS[transport](self, cut_after_s), *self._address)
        self.sessions, self._protocol = self.sessions + 1, protocol
        try:
            await protocol.closed
        finally:
            self.is_open, self._protocol = False, None
            protocol.abort()

    def resume_reading(self) -> None:
        """Start to read, after `is_reading` was false."""
        self.behavior = msgspec.structs.replace(self.behavior, is_reading=True)
        if self._protocol is not None:
            self._protocol.resume_reading()

    def build_request(self, path: str, *header_lines: str) -> bytes:
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"X-API-Key: {self._key}", *header_lines]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def truncate_randomly(self, data: bytes) -> bytes:
        """Return the part of `data` that arrives before the connection breaks."""
        self.cuts += 1
        return data[: self._rng.randrange(len(data))]


class _SubscriberProtocol(asyncio.Protocol):
    """One session. `handle_message` gets complete messages of the transport."""

    expected_status: bytes
    decoder: MessageDecoder

    def __init__(self, subscriber: Subscriber, cut_after_s: float) -> None:
        self.subscriber, self._cut_after_s = subscriber, cut_after_s
        self._loop = asyncio.get_running_loop()
        self._cut_at = self._loop.time() + cut_after_s
        self._response_head: bytes | None = b""
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._transport.write(self.build_opening_request())

    def data_received(self, data: bytes) -> None:
        is_cut = bool(self._cut_after_s) and self._loop.time() >= self._cut_at
        try:
            self._decode(self.subscriber.truncate_randomly(data) if is_cut else data)
        except StreamEndedError:
            self.subscriber.refusals += not self.subscriber.is_open
            is_cut = True
        if is_cut:
            self.abort()

    def _decode(self, data: bytes) -> None:
        if self._response_head is not None:
            self._response_head, separator, data = (self._response_head + data).partition(b"\r\n\r\n")
            if not separator:
                return
            if not self._response_head.startswith(self.expected_status):
                raise StreamEndedError
            self._response_head, self.subscriber.is_open = None, True
            if not self.subscriber.behavior.is_reading:
                self._transport.pause_reading()
        for message in self.decoder.decode(data):
            self.handle_message(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.closed.done():
            self.closed.set_result(None)

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def build_opening_request(self) -> bytes:
        raise NotImplementedError

    def handle_message(self, message: bytes) -> None:
        raise NotImplementedError


class _SseProtocol(_SubscriberProtocol):
    expected_status = b"HTTP/1.1 200 "

    def __init__(self, subscriber: Subscriber, cut_after_s: float) -> None:
        super().__init__(subscriber, cut_after_s)
        self.decoder, self._buffer = ChunkedDecoder(), b""

    def build_opening_request(self) -> bytes:
        return self.subscriber.build_request("/api/v1/stream", f"Last-Event-ID: {self.subscriber.cursor}")

    def handle_message(self, message: bytes) -> None:
        *blocks, self._buffer = (self._buffer + message).split(b"\n\n")
        for block in blocks:
            if (match := _SSE_FRAME_PATTERN.fullmatch(block)) is None:
                continue  # a heartbeat without an id
            type_, body, epoch, seq = match.groups()
            if type_.startswith(b"stream."):
                _record_control_event(self.subscriber, type_, body)
            else:
                self.subscriber.record_event(body, seq)
            self.subscriber.epoch = epoch


class _WebSocketProtocol(_SubscriberProtocol):
    expected_status = b"HTTP/1.1 101 "
    extra_query = ""

    def __init__(self, subscriber: Subscriber, cut_after_s: float) -> None:
        super().__init__(subscriber, cut_after_s)
        self.decoder = WebSocketDecoder()

    def build_opening_request(self) -> bytes:
        path = f"/ws/stream?after={self.subscriber.cursor}{self.extra_query}"
        fields = "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"
        return self.subscriber.build_request(path, *fields, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")

    def handle_message(self, message: bytes) -> None:
        if (match := _EVENT_BODY_PATTERN.match(message)) is not None:
            self.subscriber.record_event(message, match[1])
            return
        control = msgspec.json.decode(message)
        self.subscriber.epoch = control.get("epoch", self.subscriber.epoch.decode()).encode()
        _record_control_event(self.subscriber, control["type"].encode(), message)


class _BatchWebSocketProtocol(_WebSocketProtocol):
    extra_query = "&batch=1"

    def handle_message(self, message: bytes) -> None:
        if not message.startswith(b"["):
            super().handle_message(message)
            return
        for item in msgspec.json.decode(message, type=list[msgspec.Raw]):
            super().handle_message(bytes(item))


_PROTOCOLS: Final[dict[str, type[_SubscriberProtocol]]] = {
    "sse": _SseProtocol,
    "websocket": _WebSocketProtocol,
    "batch": _BatchWebSocketProtocol,
}


def _record_control_event(subscriber: Subscriber, type_: bytes, body: bytes) -> None:
    if type_ in {b"stream.unavailable", b"stream.full"}:  # a refusal that a native EventSource understands
        subscriber.refusals += 1
    elif type_ not in {b"stream.ready", b"stream.heartbeat"}:
        subscriber.control_messages.append(body.decode())
