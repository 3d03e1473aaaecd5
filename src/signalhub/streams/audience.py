"""Who is listening in this process: so that a revoked key, a full house, a stuck reader or a shutdown can end streams.

A server that waits for a reader holds no more than one write for it, but it holds that for as long as the reader likes,
and nothing else shows that the other side is gone without having said so. Hence the limit on the time of one write.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from time import monotonic
from typing import Any

import structlog

from signalhub.domain.errors import SignalHubError
from signalhub.streams.at_once import Write
from signalhub.streams.channel import Parcel
from signalhub.streams.metrics import LAG, SLOW_CLOSES, SUBSCRIBERS, TALLY
from signalhub.streams.subscription import Subscription

_log = structlog.get_logger()

Send = Callable[[Any], Awaitable[None]]
"""ASGI's, of whichever transport."""


class Outlet:
    """One open stream's way out. Made by the task that writes to it."""

    def __init__(self, subscription: Subscription, transport: str) -> None:
        self.subscription, self.transport = subscription, transport
        self.is_cut = False
        self._task = asyncio.current_task()
        self._turn = asyncio.Lock()
        self._begun: Write | None = None
        self._all: Sequence[Write] = ()
        self._waits_since = 0.0

    async def send(self, send: Send, parcels: Sequence[Parcel]) -> None:
        """Wait for writes. Raises CancelledError where the reader took too long (see `cut`)."""
        async with self._turn:
            if self._begun is not None:
                await self._begun.finish()
            self.begin(send, parcels)
            if self._begun is not None:
                await self._begun.finish()

    @property
    def is_free(self) -> bool:
        """Whether a write may begin without waiting for another."""
        return not self._turn.locked() and (self._begun is None or self._begun.is_over)

    def begin(self, send: Send, parcels: Sequence[Parcel]) -> None:
        """Write without waiting for the end: for an outlet that is free. Where a write fails, the stream ends.

        A transport keeps the order of what was begun in order (see the runtime mode in `signalhub.cli.processes`), so
        the end of the last write is the end of all.
        """
        self._waits_since = monotonic()
        before, self._all = self._all, [Write(send(parcel.message)) for parcel in parcels]
        self._begun = self._all[-1] if self._all else self._begun
        if any(write.error is not None for write in (*before, *self._all)):
            self.subscription.end("gone")
        TALLY.bytes += sum(parcel.size for parcel in parcels)

    def waited_s(self, now: float) -> float:
        return 0.0 if self.is_free else now - self._waits_since

    def cut(self, reason: str) -> None:
        """End a stream at once, in the midst of a write if need be: a client comes back where it was."""
        self.subscription.end(reason)
        if self._task is not None and not self.is_cut:
            self.is_cut = True
            self._give_up()
            self._task.cancel()

    async def drain(self, seconds: float) -> None:
        """Let the reader have what was begun, for so long. What is left then is given up: the line can be closed."""
        if self._begun is not None and not self.is_cut:
            with suppress(Exception):  # whatever the transport says of it, this is the end
                async with asyncio.timeout(seconds):
                    await self._begun.finish()
        self._give_up()

    def _give_up(self) -> None:
        for write in self._all:  # one that went on would keep the line from being closed
            write.cancel()


class Audience:
    def __init__(self, *, most_per_account: int, patience_s: float) -> None:
        self._most, self._patience_s = most_per_account, patience_s
        self._by_key: dict[str, set[Outlet]] = {}
        self._by_account: dict[str, int] = {}
        self.is_closing = False

    @asynccontextmanager
    async def seat(
        self, account_id: str, key_id: str, transport: str, subscribing: AbstractAsyncContextManager[Subscription]
    ) -> AsyncIterator[Outlet]:
        """Hold a stream open. Raises `too_many_streams`, or `unavailable` while the process is going down."""
        self._admit(account_id)
        # Counted before anything is awaited, or a crowd that comes at once would be let in whole.
        self._by_account[account_id] = self._by_account.get(account_id, 0) + 1
        try:
            async with subscribing as subscription:
                outlet = Outlet(subscription, transport)
                with self._listed(outlet, key_id), _cut_in_peace(outlet):
                    yield outlet
        finally:
            self._by_account[account_id] -= 1
            if not self._by_account[account_id]:
                del self._by_account[account_id]

    def _admit(self, account_id: str) -> None:
        if self.is_closing:
            raise SignalHubError("unavailable", "The server is shutting down; come back in a second.", retry_after=1)
        if self._by_account.get(account_id, 0) >= self._most:
            raise SignalHubError(
                "too_many_streams", f"This account has {self._most} open streams here; close one.", retry_after=5
            )

    @contextmanager
    def _listed(self, outlet: Outlet, key_id: str) -> Iterator[None]:
        self._by_key.setdefault(key_id, set()).add(outlet)
        SUBSCRIBERS.labels(outlet.transport).inc()
        if self.is_closing:  # since it was admitted
            outlet.subscription.end("shutdown")
        try:
            yield
        finally:
            SUBSCRIBERS.labels(outlet.transport).dec()
            self._by_key[key_id].discard(outlet)
            if not self._by_key[key_id]:
                del self._by_key[key_id]

    def keys(self) -> list[str]:
        return list(self._by_key)

    def end(self, key_id: str, reason: str) -> None:
        for outlet in list(self._by_key.get(key_id, ())):
            outlet.subscription.end(reason)

    def look(self) -> None:
        """Cut who has kept a write waiting for too long, and tell how far the last of all is behind."""
        now = monotonic()
        open_now = [outlet for outlets in self._by_key.values() for outlet in outlets]
        for outlet in open_now:
            if outlet.waited_s(now) > self._patience_s:
                _log.info("stream.slow_reader_cut", transport=outlet.transport, behind=outlet.subscription.behind)
                SLOW_CLOSES.labels(outlet.transport).inc()
                outlet.cut("slow")
        LAG.set(max((outlet.subscription.behind for outlet in open_now), default=0))

    async def close(self) -> None:
        """End every stream and wait, a little, until they are gone."""
        self.is_closing = True
        for key_id in self.keys():
            self.end(key_id, "shutdown")
        for _ in range(50):
            if not self._by_key:
                return
            await asyncio.sleep(0.02)


@contextmanager
def _cut_in_peace(outlet: Outlet) -> Iterator[None]:
    """A cut is an end like others to whoever holds the stream."""
    try:
        yield
    except asyncio.CancelledError:
        if not outlet.is_cut:
            raise
