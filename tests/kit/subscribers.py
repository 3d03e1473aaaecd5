"""Subscribers by the thousand: raw sockets, one regular expression, and a list of what each was given.

Each is one client over all its sessions. It remembers nothing but the cursor of the last whole event it was given,
changes transport as it likes, and can be made to break off in the middle of a frame. What it records is the numbers
and a digest of each event's exact text, so that a thousand of them fit beside the servers they watch.
"""

import asyncio
import random
import re
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

import msgspec

from tests.kit.wires import Broken, Chunks, Frames, Wire

_SSE_BLOCK: Final = re.compile(rb"id: ([0-9a-f]+)-(\d+)\nevent: (\S+)\ndata: (.*)")
_BODY: Final = re.compile(rb'\{"seq":(\d+),')
_CONNECT_S: Final = 10.0

TRANSPORTS: Final = ("sse", "websocket", "batch")


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """`cut_s` is the mean time after which a session is broken off in the middle of a frame; 0: never.

    Who does not read opens streams all the same, and takes from them what fits into the system's buffers.
    """

    transports: Sequence[str] = TRANSPORTS
    cut_s: float = 0.0
    pause_s: tuple[float, float] = (0.8, 2.2)
    is_reading: bool = True


class Subscriber:
    """`seqs` and `digests` are every event it was given, in order; `told` what streams said of resets and gaps.

    It follows from the first event, or from `after`.
    """

    def __init__(self, address: tuple[str, int], account_id: str, key: str, habits: Habits, *, after: int = 0) -> None:
        self.account_id, self.habits, self.after = account_id, habits, after
        self.seqs, self.digests, self.told = array("Q"), array("q"), list[str]()
        self.epoch, self.sessions, self.cuts, self.refusals = b"", 0, 0, 0
        self.is_open = False
        self._address, self._key = address, key
        self._dice = random.Random(id(self))  # noqa: S311 - a test's dice
        self._running: asyncio.Task[None] | None = None
        self._line: _Line | None = None

    @property
    def seq(self) -> int:
        return self.seqs[-1] if self.seqs else self.after

    @property
    def cursor(self) -> str:
        return f"{self.epoch.decode()}-{self.seq}" if self.epoch else str(self.seq)

    def start(self) -> None:
        self._running = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def take(self, body: bytes, seq: bytes) -> None:
        self.seqs.append(int(seq))
        self.digests.append(hash(body))

    async def _follow(self) -> None:
        while True:
            with suppress(OSError, TimeoutError):
                await self._session(self._dice.choice(self.habits.transports))
            await asyncio.sleep(self._dice.uniform(*self.habits.pause_s))

    async def _session(self, transport: str) -> None:
        loop = asyncio.get_running_loop()
        patience_s = self._dice.expovariate(1 / self.habits.cut_s) if self.habits.cut_s else 0.0
        async with asyncio.timeout(_CONNECT_S):
            _, line = await loop.create_connection(lambda: _LINES[transport](self, patience_s), *self._address)
        self.sessions, self._line = self.sessions + 1, line
        try:
            await line.over
        finally:
            self.is_open, self._line = False, None
            line.abort()

    def wake_up(self) -> None:
        """Read from now on, though it did not until now."""
        self.habits = msgspec.structs.replace(self.habits, is_reading=True)
        if self._line is not None:
            self._line.resume()

    def request(self, path: str, *fields: str) -> bytes:
        lines = [f"GET {path} HTTP/1.1", "Host: signalhub", f"X-API-Key: {self._key}", *fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def broken_off(self, data: bytes) -> bytes:
        """What still arrives of `data` when the line breaks somewhere in it."""
        self.cuts += 1
        return data[: self._dice.randrange(len(data))]


class _Line(asyncio.Protocol):
    """One session. `hear` is given whole messages of the transport."""

    greeting: bytes
    wire: Wire

    def __init__(self, subscriber: Subscriber, patience_s: float) -> None:
        self.subscriber, self._patience_s = subscriber, patience_s
        self._loop = asyncio.get_running_loop()
        self._cut_at = self._loop.time() + patience_s
        self._head: bytes | None = b""
        self.over: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._transport.write(self.ask())

    def data_received(self, data: bytes) -> None:
        is_cut = bool(self._patience_s) and self._loop.time() >= self._cut_at
        try:
            self._read(self.subscriber.broken_off(data) if is_cut else data)
        except Broken:
            self.subscriber.refusals += not self.subscriber.is_open
            is_cut = True
        if is_cut:
            self.abort()

    def _read(self, data: bytes) -> None:
        if self._head is not None:
            self._head, separator, data = (self._head + data).partition(b"\r\n\r\n")
            if not separator:
                return
            if not self._head.startswith(self.greeting):
                raise Broken
            self._head, self.subscriber.is_open = None, True
            if not self.subscriber.habits.is_reading:
                self._transport.pause_reading()
        for message in self.wire.feed(data):
            self.hear(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.over.done():
            self.over.set_result(None)

    def resume(self) -> None:
        self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def ask(self) -> bytes:
        raise NotImplementedError

    def hear(self, message: bytes) -> None:
        raise NotImplementedError


class _SseLine(_Line):
    greeting = b"HTTP/1.1 200 "

    def __init__(self, subscriber: Subscriber, patience_s: float) -> None:
        super().__init__(subscriber, patience_s)
        self.wire, self._rest = Chunks(), b""

    def ask(self) -> bytes:
        return self.subscriber.request("/api/v1/stream", f"Last-Event-ID: {self.subscriber.cursor}")

    def hear(self, message: bytes) -> None:
        *blocks, self._rest = (self._rest + message).split(b"\n\n")
        for block in blocks:
            if (found := _SSE_BLOCK.fullmatch(block)) is None:
                continue  # retry, or a heartbeat
            epoch, seq, type_, body = found.groups()
            if type_.startswith(b"stream."):
                _note(self.subscriber, type_, body)
            else:
                self.subscriber.take(body, seq)
            self.subscriber.epoch = epoch


class _SocketLine(_Line):
    greeting = b"HTTP/1.1 101 "
    query = ""

    def __init__(self, subscriber: Subscriber, patience_s: float) -> None:
        super().__init__(subscriber, patience_s)
        self.wire = Frames()

    def ask(self) -> bytes:
        path = f"/ws/stream?after={self.subscriber.cursor}{self.query}"
        fields = "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"
        return self.subscriber.request(path, *fields, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")

    def hear(self, message: bytes) -> None:
        if (found := _BODY.match(message)) is not None:
            self.subscriber.take(message, found[1])
            return
        told = msgspec.json.decode(message)
        self.subscriber.epoch = told["epoch"].encode()
        _note(self.subscriber, told["type"].encode(), message)


class _BatchLine(_SocketLine):
    query = "&batch=1"

    def hear(self, message: bytes) -> None:
        if not message.startswith(b"["):
            super().hear(message)
            return
        for one in msgspec.json.decode(message, type=list[msgspec.Raw]):
            super().hear(bytes(one))


_LINES: Final[dict[str, type[_Line]]] = {"sse": _SseLine, "websocket": _SocketLine, "batch": _BatchLine}


def _note(subscriber: Subscriber, type_: bytes, body: bytes) -> None:
    if type_ not in {b"stream.ready", b"stream.heartbeat"}:
        subscriber.told.append(body.decode())
