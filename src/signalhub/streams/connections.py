"""From a cursor to a transport: at once where it can be, by the stream's own task where that has to wait.

Who is listening in this process: so that a revoked key, a full house, a stuck reader or a shutdown can end streams.

A server that waits for a reader holds no more than one write for it, but it holds that for as long as the reader likes,
and nothing else shows that the other side is gone without having said so. Hence the limit on the time of one write.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from time import monotonic
from typing import Any

import structlog

from signalhub.concurrency import EagerWrite
from signalhub.domain.errors import SignalHubError
from signalhub.streams.channel import EventEncoder, OutgoingMessage
from signalhub.streams.metrics import LAG, SLOW_CLOSES, SUBSCRIBERS, WRITE_COUNTERS
from signalhub.streams.subscription import Subscription

_log = structlog.get_logger()

AsgiSend = Callable[[Any], Awaitable[None]]
"""ASGI's, of whichever transport."""


class Connection:
    """One open stream's way out. Made by the task that writes to it."""

    def __init__(self, subscription: Subscription, transport: str) -> None:
        self.subscription, self.transport = subscription, transport
        self.is_aborted = False
        self._task = asyncio.current_task()
        self._write_lock = asyncio.Lock()
        self._last_write: EagerWrite | None = None
        self._writes: Sequence[EagerWrite] = ()
        self._write_started_at = 0.0

    async def send(self, send: AsgiSend, messages: Sequence[OutgoingMessage]) -> None:
        """Wait for writes. Raises CancelledError where the reader took too long (see `cut`)."""
        async with self._write_lock:
            if self._last_write is not None:
                await self._last_write.wait()
            self.start_write(send, messages)
            if self._last_write is not None:
                await self._last_write.wait()

    @property
    def is_writable(self) -> bool:
        """Whether a write may begin without waiting for another."""
        return not self._write_lock.locked() and (self._last_write is None or self._last_write.is_done)

    def start_write(self, send: AsgiSend, messages: Sequence[OutgoingMessage]) -> None:
        """Write without waiting for the end: for an outlet that is free. Where a write fails, the stream ends.

        A transport keeps the order of what was begun in order (see the runtime mode in `signalhub.cli.servers`), so
        the end of the last write is the end of all.
        """
        self._write_started_at = monotonic()
        before, self._writes = self._writes, [EagerWrite(send(parcel.asgi_message)) for parcel in messages]
        self._last_write = self._writes[-1] if self._writes else self._last_write
        if any(write.error is not None for write in (*before, *self._writes)):
            self.subscription.end("gone")
        WRITE_COUNTERS.bytes_written += sum(parcel.size_bytes for parcel in messages)

    def blocked_s(self, now: float) -> float:
        return 0.0 if self.is_writable else now - self._write_started_at

    def abort(self, reason: str) -> None:
        """End a stream at once, in the midst of a write if need be: a client comes back where it was."""
        self.subscription.end(reason)
        if self._task is not None and not self.is_aborted:
            self.is_aborted = True
            self._cancel_writes()
            self._task.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Let the reader have what was begun, for so long. What is left then is given up: the line can be closed."""
        if self._last_write is not None and not self.is_aborted:
            with suppress(Exception):  # whatever the transport says of it, this is the end
                async with asyncio.timeout(timeout_s):
                    await self._last_write.wait()
        self._cancel_writes()

    def _cancel_writes(self) -> None:
        for write in self._writes:  # one that went on would keep the line from being closed
            write.cancel()


class ConnectionWriter:
    """`send` is the transport's, `dress` makes of events what it sends; `told` is the place the reader knows of."""

    def __init__(self, connection: Connection, send: AsgiSend, encode: EventEncoder) -> None:
        self._connection, self._send, self._encode = connection, send, encode
        self.subscription = connection.subscription
        self.sent_seq = self.subscription.seq
        self.subscription.try_deliver = self._try_deliver

    async def run(self, heartbeat_s: float, build_heartbeat: Callable[[], OutgoingMessage] | None) -> None:
        """Until the subscription ends. `heartbeat` is what to say after so much silence, if anything."""
        while self.subscription.end_reason is None:
            found = await self.subscription.read(heartbeat_s)
            if found:
                await self.write(self._encode(found, self.subscription.epoch))
            elif build_heartbeat is not None and self.subscription.end_reason is None:
                await self.write([build_heartbeat()])

    async def write(self, messages: Sequence[OutgoingMessage]) -> None:
        await self._connection.send(self._send, messages)
        self.sent_seq = self.subscription.seq

    def _try_deliver(self) -> bool:
        """Pass on all that is new without waiting for anything. False: that cannot be, and nothing was passed on."""
        if not self._connection.is_writable:
            return False
        parcels = self.subscription.encode_available(self._encode)
        if parcels is None:
            return False
        if parcels:
            self._connection.start_write(self._send, parcels)
            self.sent_seq = self.subscription.seq
        return True


class ConnectionRegistry:
    def __init__(self, *, max_per_account: int, write_timeout_s: float) -> None:
        self._max_per_account, self._write_timeout_s = max_per_account, write_timeout_s
        self._connections_by_key: dict[str, set[Connection]] = {}
        self._open_count_by_account: dict[str, int] = {}
        self.is_closing = False

    @asynccontextmanager
    async def open(
        self,
        account_id: str,
        key_id: str,
        transport: str,
        subscription_manager: AbstractAsyncContextManager[Subscription],
    ) -> AsyncIterator[Connection]:
        """Hold a stream open. Raises `too_many_streams`, or `unavailable` while the process is going down."""
        self._check_limit(account_id)
        # Counted before anything is awaited, or a crowd that comes at once would be let in whole.
        self._open_count_by_account[account_id] = self._open_count_by_account.get(account_id, 0) + 1
        try:
            async with subscription_manager as subscription:
                outlet = Connection(subscription, transport)
                with self._registered(outlet, key_id), _suppress_abort(outlet):
                    yield outlet
        finally:
            self._open_count_by_account[account_id] -= 1
            if not self._open_count_by_account[account_id]:
                del self._open_count_by_account[account_id]

    def _check_limit(self, account_id: str) -> None:
        if self.is_closing:
            raise SignalHubError("unavailable", "The server is shutting down; come back in a second.", retry_after_s=1)
        if self._open_count_by_account.get(account_id, 0) >= self._max_per_account:
            raise SignalHubError(
                "too_many_streams",
                f"This account has {self._max_per_account} open streams here; close one.",
                retry_after_s=5,
            )

    @contextmanager
    def _registered(self, connection: Connection, key_id: str) -> Iterator[None]:
        self._connections_by_key.setdefault(key_id, set()).add(connection)
        SUBSCRIBERS.labels(connection.transport).inc()
        if self.is_closing:  # since it was admitted
            connection.subscription.end("shutdown")
        try:
            yield
        finally:
            SUBSCRIBERS.labels(connection.transport).dec()
            self._connections_by_key[key_id].discard(connection)
            if not self._connections_by_key[key_id]:
                del self._connections_by_key[key_id]

    def open_key_ids(self) -> list[str]:
        return list(self._connections_by_key)

    def close_by_key(self, key_id: str, reason: str) -> None:
        for outlet in list(self._connections_by_key.get(key_id, ())):
            outlet.subscription.end(reason)

    def close_slow(self) -> None:
        """Cut who has kept a write waiting for too long, and tell how far the last of all is behind."""
        now = monotonic()
        open_now = [outlet for outlets in self._connections_by_key.values() for outlet in outlets]
        for outlet in open_now:
            if outlet.blocked_s(now) > self._write_timeout_s:
                _log.info(
                    "stream.slow_reader_closed", transport=outlet.transport, behind=outlet.subscription.lag_events
                )
                SLOW_CLOSES.labels(outlet.transport).inc()
                outlet.abort("slow")
        LAG.set(max((outlet.subscription.lag_events for outlet in open_now), default=0))

    async def close_all(self) -> None:
        """End every stream and wait, a little, until they are gone."""
        self.is_closing = True
        for key_id in self.open_key_ids():
            self.close_by_key(key_id, "shutdown")
        for _ in range(50):
            if not self._connections_by_key:
                return
            await asyncio.sleep(0.02)


@contextmanager
def _suppress_abort(connection: Connection) -> Iterator[None]:
    """A cut is an end like others to whoever holds the stream."""
    try:
        yield
    except asyncio.CancelledError:
        if not connection.is_aborted:
            raise
