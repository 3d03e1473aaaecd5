"""Many subscribers in one process, so cheap that what is measured is the server.

Nothing is parsed: every event carries a mark with the nanosecond of its sending, and whoever listens looks for marks.
A chunk's latency is that of the oldest event in it, so that coalescing cannot flatter.
"""

import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any, Final, Self, cast

import msgspec
import uvloop

MARK: Final = b'"sent_ns":'
DIGITS: Final = 19
UNSENT: Final = 10 ** (DIGITS - 1)
"""The mark of an event that took the way through the database: it counts, but nobody knows when it was sent."""

_WHOLE: Final = len(MARK) + DIGITS
_CEILING_MS: Final = 20_000


# Forked from a process that has all of this loaded and nothing else: a room is full sooner.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


class Heard(msgspec.Struct):
    """`by_tenth_ms[n]` is how many events took n tenths of a millisecond, or a little more."""

    count: int
    by_tenth_ms: dict[int, int]

    def percentile(self, share: float) -> float:
        """Milliseconds; infinite where nothing came."""
        left = self.count * share
        for tenth_ms, count in sorted(self.by_tenth_ms.items()):
            left -= count
            if left <= 0:
                return tenth_ms / 10
        return float("inf")


class Audience:
    """`with Audience(port, request, size, greeting):` - all of them are in when the block begins.

    Who has heard the `greeting` is in: what is sent from then on is owed to them.
    """

    def __init__(self, port: int, request: bytes, size: int, greeting: bytes) -> None:
        self.size = size
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = _context.Process(target=_attend, args=(theirs, port, request, size, greeting), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        if not self._pipe.poll(60) or self._pipe.recv() != "in":
            raise TimeoutError("not every subscriber got in")
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(10)

    def heard(self) -> Heard:
        """What has come since this was asked last."""
        return Heard(*self._ask("heard"))

    def count(self) -> int:
        return int(self._ask("count"))

    def _ask(self, what: str) -> Any:  # noqa: ANN401 - one of the two above
        self._pipe.send(what)
        return self._pipe.recv()


class _Hall:
    def __init__(self) -> None:
        self.inside, self.count = 0, 0
        self.by_tenth_ms: dict[int, int] = {}


class _Listener(asyncio.Protocol):
    def __init__(self, hall: _Hall, request: bytes, greeting: bytes) -> None:
        self._hall, self._request, self._greeting = hall, request, greeting
        self._tail, self._is_in = b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        if not self._is_in:
            self._tail += data
            if self._greeting in self._tail:
                self._is_in, self._tail = True, b""
                self._hall.inside += 1
            return
        text = self._tail + data
        end = len(text) - DIGITS
        count = text.count(MARK, 0, end)
        if count:
            self._note(text, text.find(MARK) + len(MARK), count)
        # A mark that was cut in two is found when the rest of it is here.
        self._tail = text[max(text.rfind(MARK, 0, end) + 1, len(text) - _WHOLE + 1, 0) :]

    def _note(self, text: bytes, at: int, count: int) -> None:
        hall, sent_ns = self._hall, int(text[at : at + DIGITS])
        hall.count += count
        if sent_ns != UNSENT:
            tenth_ms = min((time.time_ns() - sent_ns) // 100_000, 10 * _CEILING_MS)
            hall.by_tenth_ms[tenth_ms] = hall.by_tenth_ms.get(tenth_ms, 0) + count


def _attend(pipe: "Connection[Any, Any]", port: int, request: bytes, size: int, greeting: bytes) -> None:
    uvloop.run(_listen(pipe, port, request, size, greeting))


async def _listen(pipe: "Connection[Any, Any]", port: int, request: bytes, size: int, greeting: bytes) -> None:
    loop, hall, over = asyncio.get_running_loop(), _Hall(), asyncio.Event()
    for number in range(size):
        await loop.create_connection(lambda: _Listener(hall, request, greeting), "127.0.0.1", port)
        await _until_inside(hall, number - 100)
    await _until_inside(hall, size)
    pipe.send("in")
    loop.add_reader(pipe.fileno(), _answer, pipe, hall, over)
    await over.wait()


async def _until_inside(hall: _Hall, number: int) -> None:
    while hall.inside < number:  # noqa: ASYNC110 - a poll costs less than a word from each of thousands
        await asyncio.sleep(0.005)


def _answer(pipe: "Connection[Any, Any]", hall: _Hall, over: asyncio.Event) -> None:
    try:
        asked = pipe.recv()
    except EOFError:
        over.set()
        return
    if asked == "count":
        pipe.send(hall.count)
        return
    pipe.send((hall.count, hall.by_tenth_ms))
    hall.count, hall.by_tenth_ms = 0, {}
