"""Many subscribers in one process, cheap enough that the server is what is measured.

Nothing is parsed: every event carries a marker with the time of its sending in nanoseconds, and subscribers search for
the marker. A chunk's latency is that of its oldest event, so coalescing does not improve the figures.
"""

import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any, Final, Self, cast

import msgspec
import uvloop

SENT_TIME_MARKER: Final = b'"sent_ns":'
SENT_TIME_DIGITS: Final = 19
UNKNOWN_SENT_NS: Final = 10 ** (SENT_TIME_DIGITS - 1)
"""The time in an event that was read from the database: it is counted, but its latency is unknown."""

_MARKER_BYTES: Final = len(SENT_TIME_MARKER) + SENT_TIME_DIGITS
_MAX_LATENCY_MS: Final = 20_000


# Forked from a process with only this module loaded, so that a pool starts sooner.
_process_context = multiprocessing.get_context("forkserver")
_process_context.set_forkserver_preload([__name__])


class DeliveryStats(msgspec.Struct):
    """`by_tenth_ms[n]` is the number of events whose latency, rounded down, was n tenths of a millisecond."""

    count: int
    counts_by_tenth_ms: dict[int, int]

    def percentile(self, fraction: float) -> float:
        """Return the latency in milliseconds; infinity without events."""
        remaining = self.count * fraction
        for tenth_ms, count in sorted(self.counts_by_tenth_ms.items()):
            remaining -= count
            if remaining <= 0:
                return tenth_ms / 10
        return float("inf")


class SubscriberPool:
    """A context manager that returns when all subscribers are connected.

    A subscriber is connected once it has received `ready_marker`; it must receive every event sent after that.
    """

    def __init__(self, port: int, request: bytes, size: int, ready_marker: bytes) -> None:
        self.size = size
        self._pipe, child_pipe = multiprocessing.Pipe()
        self._process = _process_context.Process(
            target=_run_process, args=(child_pipe, port, request, size, ready_marker), daemon=True
        )

    def __enter__(self) -> Self:
        self._process.start()
        if not self._pipe.poll(60) or self._pipe.recv() != "connected":
            raise TimeoutError("not all subscribers connected")
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(10)

    def take_stats(self) -> DeliveryStats:
        """Return the deliveries since the last call."""
        return DeliveryStats(*self._request("stats"))

    def read_count(self) -> int:
        return int(self._request("count"))

    def _request(self, command: str) -> Any:  # noqa: ANN401 - depends on the command
        self._pipe.send(command)
        return self._pipe.recv()


class _PoolState:
    def __init__(self) -> None:
        self.connected_count, self.count = 0, 0
        self.counts_by_tenth_ms: dict[int, int] = {}


class _SubscriberProtocol(asyncio.Protocol):
    def __init__(self, state: _PoolState, request: bytes, ready_marker: bytes) -> None:
        self._state, self._request, self._ready_marker = state, request, ready_marker
        self._tail, self._is_connected = b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        if not self._is_connected:
            self._tail += data
            if self._ready_marker in self._tail:
                self._is_connected, self._tail = True, b""
                self._state.connected_count += 1
            return
        text = self._tail + data
        end = len(text) - SENT_TIME_DIGITS
        count = text.count(SENT_TIME_MARKER, 0, end)
        if count:
            self._record(text, text.find(SENT_TIME_MARKER) + len(SENT_TIME_MARKER), count)
        # A marker that was split between two chunks is found with the next chunk.
        self._tail = text[max(text.rfind(SENT_TIME_MARKER, 0, end) + 1, len(text) - _MARKER_BYTES + 1, 0) :]

    def _record(self, text: bytes, offset: int, count: int) -> None:
        state, sent_ns = self._state, int(text[offset : offset + SENT_TIME_DIGITS])
        state.count += count
        if sent_ns != UNKNOWN_SENT_NS:
            tenth_ms = min((time.time_ns() - sent_ns) // 100_000, 10 * _MAX_LATENCY_MS)
            state.counts_by_tenth_ms[tenth_ms] = state.counts_by_tenth_ms.get(tenth_ms, 0) + count


def _run_process(pipe: "Connection[Any, Any]", port: int, request: bytes, size: int, ready_marker: bytes) -> None:
    uvloop.run(_run_subscribers(pipe, port, request, size, ready_marker))


async def _run_subscribers(
    pipe: "Connection[Any, Any]", port: int, request: bytes, size: int, ready_marker: bytes
) -> None:
    loop, state, stopped = asyncio.get_running_loop(), _PoolState(), asyncio.Event()
    for number in range(size):
        await loop.create_connection(lambda: _SubscriberProtocol(state, request, ready_marker), "127.0.0.1", port)
        await _wait_until_connected(state, number - 100)
    await _wait_until_connected(state, size)
    pipe.send("connected")
    loop.add_reader(pipe.fileno(), _handle_request, pipe, state, stopped)
    await stopped.wait()


async def _wait_until_connected(state: _PoolState, count: int) -> None:
    while state.connected_count < count:  # noqa: ASYNC110 - polling costs less than a notification from each of thousands
        await asyncio.sleep(0.005)


def _handle_request(pipe: "Connection[Any, Any]", state: _PoolState, stopped: asyncio.Event) -> None:
    try:
        command = pipe.recv()
    except EOFError:
        stopped.set()
        return
    if command == "count":
        pipe.send(state.count)
        return
    pipe.send((state.count, state.counts_by_tenth_ms))
    state.count, state.counts_by_tenth_ms = 0, {}
