"""Open streams: one `Connection` writes a subscription to its transport, and the registry holds all of a process.

An event is written as soon as it is published, without waking the connection's task, wherever the transport is free;
where a write has to wait, the task goes on. A server that waits for a reader holds one write for it, but for as long
as the reader likes, and nothing else shows that a peer is gone without having closed. Hence the limit on the time of
one write, see `ConnectionRegistry.close_slow`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from time import monotonic
from typing import Any

import msgspec
import structlog

from signalhub.concurrency import EagerWrite
from signalhub.domain.errors import SignalHubError
from signalhub.streams.channel import EventEncoder, OutgoingMessage
from signalhub.streams.metrics import BYTES_WRITTEN, LAG, SLOW_CLOSES, SUBSCRIBERS
from signalhub.streams.subscription import Subscription

_SHUTDOWN_POLLS = 50
_SHUTDOWN_POLL_INTERVAL_S = 0.02

_log = structlog.get_logger()


class Transport(msgspec.Struct, frozen=True):
    """How a stream leaves: `name` is its label in metrics, `send` its ASGI `send`."""

    name: str
    send: Callable[[Any], Awaitable[None]]
    encode: EventEncoder


class Connection:
    """One open stream: a subscription and its transport. Must be made by the task that runs it.

    `sent_seq` is the cursor that the reader knows of.
    """

    def __init__(self, subscription: Subscription, transport: Transport) -> None:
        self.subscription, self.transport = subscription, transport
        self.sent_seq = subscription.seq
        self.is_aborted = False
        self._task = asyncio.current_task()
        self._write_lock = asyncio.Lock()
        self._last_write: EagerWrite | None = None
        self._writes: Sequence[EagerWrite] = ()
        self._write_started_at = 0.0
        subscription.try_deliver = self.try_deliver

    async def run(self, heartbeat_s: float, encode_heartbeat: Callable[[], OutgoingMessage] | None) -> None:
        """Write events until the subscription ends, and a heartbeat after `heartbeat_s` without one."""
        while self.subscription.end_reason is None:
            items = await self.subscription.read(heartbeat_s)
            if items:
                messages = self.transport.encode(items, self.subscription.epoch)
            elif encode_heartbeat is not None and self.subscription.end_reason is None:
                messages = [encode_heartbeat()]
            else:
                continue
            await self.send(messages)
            self.sent_seq = self.subscription.seq

    def try_deliver(self) -> bool:
        """Write all new events without waiting. Return False, with nothing written, where that is not possible."""
        if not self.is_writable:
            return False
        messages = self.subscription.encode_available(self.transport.encode)
        if messages is None:
            return False
        if messages:
            self.start_write(messages)
            self.sent_seq = self.subscription.seq
        return True

    async def send(self, messages: Sequence[OutgoingMessage]) -> None:
        """Write and wait until the transport has taken it. Raises CancelledError after `abort`."""
        async with self._write_lock:
            if self._last_write is not None:
                await self._last_write.wait()
            self.start_write(messages)
            if self._last_write is not None:
                await self._last_write.wait()

    @property
    def is_writable(self) -> bool:
        """Whether a write may start without waiting for another."""
        return not self._write_lock.locked() and (self._last_write is None or self._last_write.is_done)

    def start_write(self, messages: Sequence[OutgoingMessage]) -> None:
        """Start writes without waiting for their end; only while `is_writable`. A failed write ends the stream.

        A transport keeps the order of writes that were started in order (see the runtime mode in
        `signalhub.cli.servers`), so the end of the last write is the end of all.
        """
        self._write_started_at = monotonic()
        send = self.transport.send
        previous, self._writes = self._writes, [EagerWrite(send(message.asgi_message)) for message in messages]
        self._last_write = self._writes[-1] if self._writes else self._last_write
        if any(write.error is not None for write in (*previous, *self._writes)):
            self.subscription.end("gone")
        BYTES_WRITTEN.pending[()] += sum(message.size_bytes for message in messages)

    def blocked_s(self, now: float) -> float:
        """Return for how many seconds the current write has been waiting."""
        return 0.0 if self.is_writable else now - self._write_started_at

    def abort(self, reason: str) -> None:
        """End the stream at once, in the middle of a write if need be: the client resumes from its last cursor."""
        self.subscription.end(reason)
        if self._task is not None and not self.is_aborted:
            self.is_aborted = True
            self._cancel_writes()
            self._task.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the writes that were started, then cancel them, so that the socket can close."""
        if self._last_write is not None and not self.is_aborted:
            with suppress(Exception):  # whatever the transport raises, the stream ends here
                async with asyncio.timeout(timeout_s):
                    await self._last_write.wait()
        self._cancel_writes()

    def _cancel_writes(self) -> None:
        for write in self._writes:  # a write that goes on would keep the socket from being closed
            write.cancel()


class ConnectionRegistry:
    """The open streams of this process: limit per account, and closing by key, by lag or at shutdown."""

    def __init__(self, *, max_per_account: int, write_timeout_s: float) -> None:
        self._max_per_account, self._write_timeout_s = max_per_account, write_timeout_s
        self._connections_by_key: dict[str, set[Connection]] = {}
        self._open_count_by_account: Counter[str] = Counter()
        self.is_closing = False

    @asynccontextmanager
    async def open(
        self,
        account_id: str,
        key_id: str,
        transport: Transport,
        subscription_manager: AbstractAsyncContextManager[Subscription],
    ) -> AsyncIterator[Connection]:
        """Hold a stream open. Raises `too_many_streams`, or `unavailable` while the process shuts down."""
        self.check_limit(account_id)
        # Counted before the first await, or all of a burst of simultaneous opens would pass the check.
        self._open_count_by_account[account_id] += 1
        try:
            async with subscription_manager as subscription:
                connection = Connection(subscription, transport)
                self._connections_by_key.setdefault(key_id, set()).add(connection)
                SUBSCRIBERS.labels(transport.name).inc()
                if self.is_closing:  # since the check above
                    subscription.end("shutdown")
                try:
                    yield connection
                except asyncio.CancelledError:
                    if not connection.is_aborted:  # to the owner of the stream, an abort is an end like any other
                        raise
                finally:
                    SUBSCRIBERS.labels(transport.name).dec()
                    self._connections_by_key[key_id].discard(connection)
                    if not self._connections_by_key[key_id]:
                        del self._connections_by_key[key_id]
        finally:
            self._open_count_by_account[account_id] -= 1
            if not self._open_count_by_account[account_id]:
                del self._open_count_by_account[account_id]

    def check_limit(self, account_id: str) -> None:
        if self.is_closing:
            raise SignalHubError("unavailable", "The server is shutting down; come back in a second.", retry_after_s=1)
        if self._open_count_by_account[account_id] >= self._max_per_account:
            raise SignalHubError(
                "too_many_streams",
                f"This account has {self._max_per_account} open streams here; close one.",
                retry_after_s=5,
            )

    def open_key_ids(self) -> list[str]:
        return list(self._connections_by_key)

    def close_by_key(self, key_id: str, reason: str) -> None:
        for connection in list(self._connections_by_key.get(key_id, ())):
            connection.subscription.end(reason)

    def close_slow(self) -> None:
        """Abort connections whose write has waited longer than the limit, and update the lag metric."""
        now = monotonic()
        connections = [connection for group in self._connections_by_key.values() for connection in group]
        for connection in connections:
            if connection.blocked_s(now) > self._write_timeout_s:
                name, lag = connection.transport.name, connection.subscription.lag_events
                _log.info("stream.slow_reader_closed", transport=name, lag_events=lag)
                SLOW_CLOSES.labels(name).inc()
                connection.abort("slow")
        LAG.set(max((connection.subscription.lag_events for connection in connections), default=0))

    async def close_all(self) -> None:
        """Refuse new streams, end the open ones, and wait up to a second until they are gone."""
        self.is_closing = True
        for key_id in self.open_key_ids():
            self.close_by_key(key_id, "shutdown")
        for _ in range(_SHUTDOWN_POLLS):
            if not self._connections_by_key:
                return
            await asyncio.sleep(_SHUTDOWN_POLL_INTERVAL_S)
