"""An open-loop load generator: each request is sent at its time, whether or not the earlier ones were answered.

A closed loop slows down with the server that it measures, and so never overloads it. Raw HTTP/1.1 over asyncio
protocols, as cheap as in `tests.bench.http_load`.
"""

import asyncio
import resource
from collections import deque
from contextlib import suppress
from time import perf_counter
from typing import cast

import msgspec

from tests.kit.polling import wait_until

_HEAD_END = b"\r\n\r\n"
_TICK_S = 0.002
_SPARE_FILES = 500


class Source(msgspec.Struct, frozen=True):
    """A sender of one raw request, `per_second` times a second."""

    name: str
    request: bytes
    per_second: float


class Answer(msgspec.Struct, frozen=True):
    """`latency_s` counts from the time at which the request was to be sent."""

    source: str
    status: int
    latency_s: float


class OpenLoopResult(msgspec.Struct, frozen=True):
    """`lost` requests had their connection closed, `unanswered` ones no answer in time."""

    duration_s: float
    offered: int
    answers: list[Answer]
    lost: int
    unanswered: int

    def count(self, status_class: int, source: str | None = None) -> int:
        """Return how many answers have a status of this class, 2 for 2xx."""
        return sum(answer.status // 100 == status_class for answer in self.answers if source in {None, answer.source})

    def percentile_s(self, fraction: float, status_class: int | None = None, source: str | None = None) -> float:
        latencies = sorted(
            answer.latency_s
            for answer in self.answers
            if status_class in {None, answer.status // 100} and source in {None, answer.source}
        )
        return latencies[min(int(len(latencies) * fraction), len(latencies) - 1)] if latencies else 0.0


class _Connection(asyncio.Protocol):
    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._buffer = b""
        self._request: tuple[Source, float] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._load.take_next(self)

    def send(self, source: Source, scheduled_at: float) -> None:
        self._request = source, scheduled_at
        self._transport.write(source.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(_HEAD_END)
        if not separator or len(body) < _parse_content_length(head) or self._request is None:
            return
        (source, scheduled_at), self._request, self._buffer = self._request, None, b""
        self._load.answers.append(Answer(source.name, int(head[9:12]), perf_counter() - scheduled_at))
        self._load.take_next(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._load.forget(self, was_busy=self._request is not None)

    def close(self) -> None:
        self._transport.abort()


class _Load:
    def __init__(self, address: tuple[str, int], max_connections: int) -> None:
        self._address, self._max_connections = address, max_connections
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[Source, float]] = deque()
        self.answers: list[Answer] = []
        self.lost = 0

    @property
    def unanswered(self) -> int:
        return len(self._waiting) + len(self._open) - len(self._idle)

    def submit(self, source: Source, scheduled_at: float) -> None:
        if self._idle:
            self._idle.pop().send(source, scheduled_at)
            return
        self._waiting.append((source, scheduled_at))
        if len(self._open) + len(self._connecting) < self._max_connections:
            task = asyncio.create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def take_next(self, connection: _Connection) -> None:
        """Send the oldest waiting request on a free connection."""
        self._open.add(connection)
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def forget(self, connection: _Connection, *, was_busy: bool) -> None:
        self._open.discard(connection)
        if was_busy:
            self.lost += 1
        elif connection in self._idle:
            self._idle.remove(connection)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Connection(self), *self._address)
        except OSError:
            self.lost += 1

    async def drain(self, timeout_s: float) -> int:
        """Wait for the last answers, then close all connections; return how many requests had none in time."""

        async def is_done() -> bool:
            return not self.unanswered

        with suppress(AssertionError):
            await wait_until(is_done, timeout_s=timeout_s)
        unanswered = self.unanswered
        for task in self._connecting:
            task.cancel()
        for connection in list(self._open):
            connection.close()
        return unanswered


async def run_open_loop(
    address: tuple[str, int],
    sources: list[Source],
    *,
    duration_s: float,
    max_connections: int = 10_000,
    drain_s: float = 5.0,
) -> OpenLoopResult:
    """Send the requests of all sources for `duration_s`, then wait up to `drain_s` for the last answers."""
    raise_file_limit(max_connections + _SPARE_FILES)
    load, began = _Load(address, max_connections), perf_counter()
    sent = dict.fromkeys(sources, 0)
    while (elapsed := perf_counter() - began) < duration_s:
        for source in sources:
            for number in range(sent[source], int(elapsed * source.per_second)):
                load.submit(source, began + number / source.per_second)
                sent[source] = number + 1
        await asyncio.sleep(_TICK_S)
    unanswered = await load.drain(drain_s)
    return OpenLoopResult(duration_s, sum(sent.values()), load.answers, load.lost, unanswered)


async def run_closed_loop(
    address: tuple[str, int], request: bytes, *, duration_s: float, connections: int, drain_s: float = 5.0
) -> OpenLoopResult:
    """Keep one request in flight on each of `connections` connections for `duration_s`."""
    raise_file_limit(connections + _SPARE_FILES)
    load = _ClosedLoad(address, connections, Source("closed", request, 0))
    await load.connect_all()
    load.start()
    await asyncio.sleep(duration_s)
    load.is_over = True
    unanswered = await load.drain(drain_s)
    return OpenLoopResult(duration_s, len(load.answers) + load.lost + unanswered, load.answers, load.lost, unanswered)


class _ClosedLoad(_Load):
    def __init__(self, address: tuple[str, int], connections: int, source: Source) -> None:
        super().__init__(address, connections)
        self._source, self.is_over, self._is_started = source, False, False

    async def connect_all(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._max_connections):
            await loop.create_connection(lambda: _Connection(self), *self._address)

    def start(self) -> None:
        self._is_started, idle, self._idle = True, self._idle, []
        for connection in idle:
            self.take_next(connection)

    def take_next(self, connection: _Connection) -> None:
        self._open.add(connection)
        if self._is_started and not self.is_over:
            connection.send(self._source, perf_counter())
        else:
            self._idle.append(connection)


def build_post(path: str, host: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return a raw POST request."""
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _HEAD_END + body


def raise_file_limit(count: int) -> None:
    """Raise the soft limit of open files to `count`, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def _parse_content_length(head: bytes) -> int:
    start = head.lower().find(b"content-length: ")
    return 0 if start < 0 else int(head[start + 16 :].split(b"\r\n", 1)[0])
