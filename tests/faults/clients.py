"""Clients as they should be: senders that resend what got no answer, followers that come back where they were.

Every promise of the service is made to such clients, so the proofs use nothing else.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import perf_counter

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.kit import texts
from tests.kit.observations import Answered, Cut, Observations, Saw, Told, now
from tests.kit.sse import Sse
from tests.kit.trader import Trader

_RESEND_S = 0.1
_GIVE_UP = 300
_SILENCE_S = 6.0


class Sender:
    """Sends a signal under its own key until it is taken. `http` is without a time-out of its own worth the name."""

    def __init__(self, http: httpx.AsyncClient, observations: Observations) -> None:
        self._http, self._observations = http, observations

    async def send(self, trader: Trader, number: int) -> None:
        key = f"signal-{number}"
        for _ in range(_GIVE_UP):
            status = await self._try(trader, key, texts.buy(number % 10_000))
            if status is not None and status < 500 and status != httpx.codes.CONFLICT:
                return
            await asyncio.sleep(_RESEND_S)
        raise AssertionError(f"{key} was never taken")

    async def _try(self, trader: Trader, key: str, text: str) -> int | None:
        began = perf_counter()
        headers = {**trader.headers, "Idempotency-Key": key}
        try:
            answer = await self._http.post("/api/v1/signals", content=text, headers=headers)
        except httpx.TransportError as error:
            self._observations.note(Cut(key, trader.id, repr(error), perf_counter() - began))
            return None
        took_s = perf_counter() - began
        self._observations.note(Answered(key, trader.id, answer.status_code, answer.json(), took_s))
        return answer.status_code

    async def send_all(self, traders: Sequence[Trader], numbers: range, *, rate: float, at_once: int = 16) -> None:
        """`numbers`, spread over `traders`, at `rate` a second; those whose turn it is wait while `at_once` are out."""
        room = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            async with room:
                await self.send(traders[number % len(traders)], number)

        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for place, number in enumerate(numbers):
                await asyncio.sleep(max(0.0, began + place / rate - perf_counter()))
                group.create_task(one(number))


class Follower(ABC):
    """One subscriber over all its sessions. `seq` is the last event it was given."""

    def __init__(self, http: httpx.AsyncClient, trader: Trader, observations: Observations, name: str) -> None:
        self.http, self.trader, self.name = http, trader, name
        self._observations = observations
        self.seq, self.sessions = 0, 0
        self._running: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    @abstractmethod
    async def session(self) -> None:
        """Open one stream after `seq` and hear it to its end. Returns or raises `httpx.TransportError`, `OSError`."""

    def start(self) -> None:
        self._running = asyncio.create_task(self._follow())

    async def cut(self) -> None:
        """Go away in the middle of it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def reach(self, seq: int, timeout_s: float = 15.0) -> None:
        """Wait until event `seq` was given."""
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(lambda: self.seq >= seq)

    async def _follow(self) -> None:
        while True:
            self.sessions += 1
            with contextlib.suppress(httpx.TransportError, OSError, TimeoutError, WebSocketException):
                await self.session()
            await asyncio.sleep(_RESEND_S)

    async def heard(self, type_: str, body: bytes) -> None:
        if type_.startswith("stream."):
            self._observations.note(Told(self.name, self.trader.id, type_, body.decode()))
            return
        seq = msgspec.json.decode(body)["seq"]
        self._observations.note(Saw(self.name, self.trader.id, seq, body.decode(), now()))
        async with self._news:
            self.seq = seq
            self._news.notify_all()


class SseFollower(Follower):
    """As a browser does it: `Last-Event-ID` is the last id it was given."""

    last_id: str | None = None

    async def session(self) -> None:
        headers = self.trader.headers | ({"Last-Event-ID": self.last_id} if self.last_id else {})
        params = {} if self.last_id else {"after": "0"}
        asked = self.http.stream("GET", "/api/v1/stream", params=params, headers=headers, timeout=_SILENCE_S)
        async with asked as response:
            if not response.is_success:
                return
            stream = Sse(response)
            try:
                await self._hear(stream)
            finally:
                await stream.close()

    async def _hear(self, stream: Sse) -> None:
        while (frame := await stream.next(_SILENCE_S)) is not None:
            if frame.event is not None:
                await self.heard(frame.event, frame.data)
            if frame.id is not None:
                self.last_id = frame.id


class SocketFollower(Follower):
    """As a bot does it: `?after=` is the last number it was given."""

    async def session(self) -> None:
        url = str(self.http.base_url.copy_with(scheme="ws", path="/ws/stream", params={"after": str(self.seq)}))
        async with connect(url, additional_headers=self.trader.headers, proxy=None, open_timeout=_SILENCE_S) as socket:
            async for text in socket:
                body = text.encode() if isinstance(text, str) else text
                await self.heard(msgspec.json.decode(body)["type"], body)
