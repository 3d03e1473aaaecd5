"""Well-behaved clients: a sender that repeats unanswered requests, subscribers that resume where they stopped.

The service's guarantees are made to such clients, so the fault tests use no others.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.observations import (
    AnswerObserved,
    ConnectionLost,
    ControlEventObserved,
    EventObserved,
    Observation,
    ObservationLog,
    unix_time_s,
)
from tests.kit.sse_stream import SseStream

_RETRY_INTERVAL_S = 0.1
_MAX_ATTEMPTS = 300
_READ_TIMEOUT_S = 6.0


class Recorder(Protocol):
    """Takes what clients observe: an `ObservationLog`, or what counts only."""

    def record(self, observation: Observation) -> None: ...


class RetryingSender:
    """Sends each signal with its own idempotency key until it is accepted. `http` needs a long timeout."""

    def __init__(self, http: httpx.AsyncClient, observations: Recorder) -> None:
        self._http, self._observations = http, observations

    async def send(self, account: AccountClient, number: int) -> None:
        key = f"signal-{number}"
        for _ in range(_MAX_ATTEMPTS):
            status = await self._send_once(account, key, signal_texts.make_buy_text(number % 10_000))
            if status is not None and status < 500 and status != httpx.codes.CONFLICT:
                return
            await asyncio.sleep(_RETRY_INTERVAL_S)
        raise AssertionError(f"{key} was never accepted")

    async def _send_once(self, account: AccountClient, idempotency_key: str, text: str) -> int | None:
        began = perf_counter()
        headers = {**account.headers, "Idempotency-Key": idempotency_key}
        try:
            answer = await self._http.post("/api/v1/signals", content=text, headers=headers)
        # The latter is anyio's, for a socket that was closed right after it was connected.
        except (httpx.TransportError, AttributeError) as error:
            self._observations.record(ConnectionLost(idempotency_key, account.id, repr(error), perf_counter() - began))
            return None
        took_s = perf_counter() - began
        self._observations.record(
            AnswerObserved(idempotency_key, account.id, answer.status_code, answer.json(), took_s)
        )
        return answer.status_code

    async def send_all(
        self,
        accounts: Sequence[AccountClient],
        signal_numbers: range,
        *,
        signals_per_second: float,
        max_in_flight: int = 16,
    ) -> None:
        """Send the numbered signals, spread over `accounts`, at an even rate with at most `max_in_flight` at once."""
        in_flight = asyncio.Semaphore(max_in_flight)

        async def send_one(number: int) -> None:
            async with in_flight:
                await self.send(accounts[number % len(accounts)], number)

        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for index, number in enumerate(signal_numbers):
                await asyncio.sleep(max(0.0, began + index / signals_per_second - perf_counter()))
                group.create_task(send_one(number))


class RecordingSubscriber(ABC):
    """One subscriber over all its sessions. `seq` is the number of the last event received."""

    def __init__(
        self, http: httpx.AsyncClient, account: AccountClient, observations: ObservationLog, name: str
    ) -> None:
        self.http, self.account, self.name = http, account, name
        self._observations = observations
        self.seq, self.sessions = 0, 0
        self._task: asyncio.Task[None] | None = None
        self._event_received = asyncio.Condition()

    @abstractmethod
    async def run_session(self) -> None:
        """Open one stream after `seq` and read it to its end. Returns or raises `httpx.TransportError`, `OSError`."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run_sessions())

    async def disconnect(self) -> None:
        """Drop the connection at whatever point the stream has reached."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_for_seq(self, seq: int, timeout_s: float = 15.0) -> None:
        """Wait until event `seq` was received."""
        async with asyncio.timeout(timeout_s), self._event_received:
            await self._event_received.wait_for(lambda: self.seq >= seq)

    async def _run_sessions(self) -> None:
        while True:
            self.sessions += 1
            with contextlib.suppress(httpx.TransportError, OSError, TimeoutError, WebSocketException):
                await self.run_session()
            await asyncio.sleep(_RETRY_INTERVAL_S)

    async def handle_event(self, type_: str, body: bytes) -> None:
        if type_.startswith("stream."):
            self._observations.record(ControlEventObserved(self.name, self.account.id, type_, body.decode()))
            return
        seq = msgspec.json.decode(body)["seq"]
        self._observations.record(EventObserved(self.name, self.account.id, seq, body.decode(), unix_time_s()))
        async with self._event_received:
            self.seq = seq
            self._event_received.notify_all()


class RecordingSseSubscriber(RecordingSubscriber):
    """Resumes as a browser does: `Last-Event-ID` is the last id received."""

    last_event_id: str | None = None

    async def run_session(self) -> None:
        headers = self.account.headers | ({"Last-Event-ID": self.last_event_id} if self.last_event_id else {})
        params = {} if self.last_event_id else {"after": "0"}
        request = self.http.stream("GET", "/api/v1/stream", params=params, headers=headers, timeout=_READ_TIMEOUT_S)
        async with request as response:
            if not response.is_success:
                return
            stream = SseStream(response)
            try:
                await self._read_stream(stream)
            finally:
                await stream.close()

    async def _read_stream(self, stream: SseStream) -> None:
        while (frame := await stream.next_frame(_READ_TIMEOUT_S)) is not None:
            if frame.event is not None:
                await self.handle_event(frame.event, frame.data)
            if frame.id is not None:
                self.last_event_id = frame.id


class RecordingWebSocketSubscriber(RecordingSubscriber):
    """Resumes as a bot does: `?after=` is the last number received."""

    async def run_session(self) -> None:
        url = str(self.http.base_url.copy_with(scheme="ws", path="/ws/stream", params={"after": str(self.seq)}))
        async with connect(
            url, additional_headers=self.account.headers, proxy=None, open_timeout=_READ_TIMEOUT_S
        ) as socket:
            async for text in socket:
                body = text.encode() if isinstance(text, str) else text
                await self.handle_event(msgspec.json.decode(body)["type"], body)
