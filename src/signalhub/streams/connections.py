"""The open streams of this process: limit per account, and closing by key, by lag or at shutdown.

A server that waits for a reader holds one write for it, but for as long as the reader likes, and nothing else shows
that a peer is gone without having closed. Hence the limit on the time of one write, see `close_slow`.

The system of a reader that is frozen goes on taking what fits into its buffers, on a quiet stream for hours. Such a
reader holds its place until another stream needs it: at the limit, a new stream replaces the one that has acknowledged
least lately. Opening a stream acknowledges, and so does every message over a WebSocket. There is nothing else over SSE,
and a healthy reader may be replaced too. It loses nothing, comes back, and has acknowledged by that. A stream that has
acknowledged within the time limit of a write is not replaced, so that readers cannot replace each other in turn.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from time import monotonic

import structlog

from signalhub.domain.errors import SignalHubError
from signalhub.streams.metrics import LAG, REPLACEMENTS, SLOW_CLOSES, SUBSCRIBERS
from signalhub.streams.subscription import Connection, Subscription, Transport

_MAX_UNANSWERED_HEARTBEATS = 3
_SHUTDOWN_POLLS = 50
_SHUTDOWN_POLL_INTERVAL_S = 0.02

_log = structlog.get_logger()


class ConnectionRegistry:
    def __init__(self, *, max_per_account: int, write_timeout_s: float) -> None:
        self._max_per_account, self._write_timeout_s = max_per_account, write_timeout_s
        self._connections_by_key: dict[str, set[Connection]] = {}
        # Without those that were replaced and have yet to end.
        self._connections_by_account: defaultdict[str, set[Connection]] = defaultdict(set)
        self._opening_count_by_account: Counter[str] = Counter()
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
        self.admit(account_id)
        # Counted before the first await, or all of a burst of simultaneous opens would be admitted.
        self._opening_count_by_account[account_id] += 1
        async with AsyncExitStack() as opening:
            try:
                subscription = await opening.enter_async_context(subscription_manager)
            finally:
                self._opening_count_by_account[account_id] -= 1
                if not self._opening_count_by_account[account_id]:
                    del self._opening_count_by_account[account_id]
            connection = Connection(subscription, transport)
            self._connections_by_key.setdefault(key_id, set()).add(connection)
            self._connections_by_account[account_id].add(connection)
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
                self._release(account_id, connection)

    def admit(self, account_id: str) -> None:
        """Make room for one more stream of an account. Raises as `open` does where there is none."""
        if self.is_closing:
            raise SignalHubError("unavailable", "The server is shutting down; come back in a second.", retry_after_s=1)
        connections = self._connections_by_account.get(account_id, set())
        if len(connections) + self._opening_count_by_account[account_id] < self._max_per_account:
            return
        oldest = min(connections, key=lambda connection: connection.acknowledged_at, default=None)
        if oldest is None or monotonic() - oldest.acknowledged_at < self._write_timeout_s:
            raise SignalHubError(
                "too_many_streams",
                f"This account has {self._max_per_account} open streams here; close one, or try again.",
                retry_after_s=5,
            )
        self._release(account_id, oldest)
        name, idle_s = oldest.transport.name, round(monotonic() - oldest.acknowledged_at)
        _log.info("stream.replaced", transport=name, acknowledged_s_ago=idle_s)
        REPLACEMENTS.labels(name).inc()
        oldest.replace()

    def _release(self, account_id: str, connection: Connection) -> None:
        connections = self._connections_by_account[account_id]
        connections.discard(connection)
        if not connections:
            del self._connections_by_account[account_id]

    def open_key_ids(self) -> list[str]:
        return list(self._connections_by_key)

    def close_by_key(self, key_id: str, reason: str) -> None:
        for connection in list(self._connections_by_key.get(key_id, ())):
            connection.subscription.end(reason)

    def close_slow(self) -> None:
        """Abort connections whose write has waited longer than the limit, and update the lag metric.

        End those whose reader used to answer heartbeats and has stopped.
        """
        now = monotonic()
        connections = [connection for group in self._connections_by_key.values() for connection in group]
        for connection in connections:
            if connection.blocked_s(now) > self._write_timeout_s:
                name, lag = connection.transport.name, connection.subscription.lag_events
                _log.info("stream.slow_reader_closed", transport=name, lag_events=lag)
                SLOW_CLOSES.labels(name).inc()
                connection.abort("slow")
            elif connection.unanswered_heartbeats >= _MAX_UNANSWERED_HEARTBEATS:
                connection.subscription.end("unanswered heartbeats")
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
