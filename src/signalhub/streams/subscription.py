"""One subscriber: a cursor over an account's log."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from signalhub.streams import cursor
from signalhub.streams.channel import Channel, Dress, Frame, Gap, Parcel
from signalhub.streams.filters import Wanted
from signalhub.streams.metrics import GAPS, RESETS, TALLY
from signalhub.streams.relay import Relay

_MOST = 256
_OUTAGE_PAUSE_S = 0.3


class Subscription:
    """`seq` is the last event passed on. `ended` says why there will be no more."""

    def __init__(  # noqa: PLR0913 - made in one place, below
        self, relay: Relay, channel: Channel, head: int, start: cursor.Start, *, wanted: Wanted, ends_at: float
    ) -> None:
        self._relay, self._channel, self._wanted, self._ends_at = relay, channel, wanted, ends_at
        self.epoch, self.head, self.start = channel.epoch, head, start
        self.seq = start.seq
        self.ended: str | None = None
        self.take: Callable[[], bool] | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._quiet_since = 0.0

    @property
    def behind(self) -> int:
        """How many events this stream has not been given yet."""
        return self._channel.head - self.seq

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self.look()

    async def next(self, wait_s: float) -> Sequence[Frame | Gap]:
        """What comes next, in order; empty after `wait_s` without news, or at the end."""
        self._quiet_since = monotonic()
        while self._goes_on():
            found = await self._read()
            if found:
                return found
            now, until = monotonic(), self._quiet_since + wait_s
            if now >= until:
                break
            if self.seq >= self._channel.head:
                await self._news(min(until, self._ends_at) - now)
        return ()

    def at_hand(self, dress: Dress) -> Sequence[Parcel] | None:
        """All that is new, where the ring has it; None: not so, and the cursor stays where it is."""
        if not self._goes_on():
            return None
        found = self._channel.dressed(self.seq, self._wanted, dress)
        if found is None:
            return None
        self.seq = found.seq
        if found.parcels:
            TALLY.ring_hits += 1
            self._quiet_since = monotonic()
        return found.parcels

    def look(self) -> None:
        """There may be news. A task that is at work will see for itself."""
        if self._waiting is not None and not (self.take is not None and self.take()) and not self._waiting.done():
            self._waiting.set_result(None)

    def _goes_on(self) -> bool:
        if self.ended is None and self.epoch != self._relay.epoch:
            self.ended = "epoch"  # who comes back with this stream's cursor is told to begin anew
        if self.ended is None and monotonic() >= self._ends_at:
            self.ended = "lifetime"
        return self.ended is None

    async def _news(self, most_s: float) -> None:
        """Until something is new that cannot be passed on at once, or `most_s` has passed."""
        loop = asyncio.get_running_loop()
        self._waiting = waiting = loop.create_future()
        timer = loop.call_later(max(most_s, 0.001), _ring, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None

    async def _read(self) -> Sequence[Frame | Gap]:
        frames = self._channel.after(self.seq, _MOST)
        if frames is None:
            return await self._catch_up()
        TALLY.ring_hits += bool(frames)
        return self._pass(frames)

    async def _catch_up(self) -> Sequence[Frame | Gap]:
        head = self._channel.head
        try:
            frames = await self._relay.page(self._channel, self.seq)
        except (SQLAlchemyError, OSError, TimeoutError):
            # The stream stays open while the database is away: what it has to tell can wait.
            await asyncio.sleep(_OUTAGE_PAUSE_S)
            return ()
        if self.epoch != self._relay.epoch:  # that page is of another log
            return ()
        if not frames:  # there were events up to `head`, and none of them is kept
            GAPS.inc()
            missing, self.seq = Gap(self.seq + 1, head), head
            return [missing]
        return self._pass(frames)

    def _pass(self, frames: Sequence[Frame]) -> Sequence[Frame | Gap]:
        if not frames:
            return ()
        missing = [Gap(self.seq + 1, frames[0].seq - 1)] if frames[0].seq > self.seq + 1 else []
        GAPS.inc(len(missing))
        self.seq = frames[-1].seq
        return [*missing, *(one for one in frames if self._wanted(one.type))]


def _ring(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


@asynccontextmanager
async def subscribe(
    relay: Relay, account_id: str, after: str | None, *, wanted: Wanted, lifetime_s: float
) -> AsyncIterator[Subscription]:
    """Open a cursor at `after`. Raises what the database raises when the log's head cannot be read."""
    async with relay.channel(account_id) as channel:
        head = await relay.head(channel, cursor.place(after))
        begin = cursor.start(after, epoch=channel.epoch, head=head)
        if begin.reset is not None:
            RESETS.labels(begin.reset).inc()
        subscription = Subscription(relay, channel, head, begin, wanted=wanted, ends_at=monotonic() + lifetime_s)
        channel.listeners.add(subscription.look)
        try:
            yield subscription
        finally:
            channel.listeners.discard(subscription.look)
