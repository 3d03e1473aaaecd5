"""One subscriber: a cursor over an account's log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from signalhub.streams import cursor
from signalhub.streams.channel import Channel, Frame
from signalhub.streams.filters import Wanted
from signalhub.streams.metrics import GAPS, RESETS, TALLY
from signalhub.streams.relay import Relay

_MOST = 256
_OUTAGE_PAUSE_S = 0.3


class Gap(msgspec.Struct, frozen=True):
    """Events that retention has pruned: `first` to `last`, both gone."""

    first: int
    last: int


class Subscription:
    """`seq` is the last event passed on. `ended` says why there will be no more."""

    def __init__(  # noqa: PLR0913 - made in one place, below
        self, relay: Relay, channel: Channel, head: int, start: cursor.Start, *, wanted: Wanted, ends_at: float
    ) -> None:
        self._relay, self._channel, self._wanted, self._ends_at = relay, channel, wanted, ends_at
        self.epoch, self.head, self.start = channel.epoch, head, start
        self.seq = start.seq
        self.ended: str | None = None

    @property
    def behind(self) -> int:
        """How many events this stream has not been given yet."""
        return self._channel.head - self.seq

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._channel.wake()

    async def next(self, wait_s: float) -> Sequence[Frame | Gap]:
        """What comes next, in order; empty after `wait_s` without news, or at the end."""
        until = monotonic() + wait_s
        while self.ended is None:
            if monotonic() >= self._ends_at:
                self.ended = "lifetime"
                break
            if self.epoch != self._relay.epoch:
                self.ended = "epoch"  # who comes back with this stream's cursor is told to begin anew
                break
            found = await self._read()
            if found:
                return found
            left = min(until, self._ends_at) - monotonic()
            if left <= 0 and monotonic() >= until:
                break
            if self.seq >= self._channel.head:
                await self._channel.changed(max(left, 0.001))
        return ()

    async def _read(self) -> Sequence[Frame | Gap]:
        frames = self._channel.after(self.seq, _MOST)
        if frames is None:
            return await self._catch_up()
        TALLY.ring_hits += bool(frames)
        return self._pass(frames)

    async def _catch_up(self) -> Sequence[Frame | Gap]:
        head = self._channel.head
        try:
            frames = await self._relay.page(self._channel.account_id, self.seq)
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


@asynccontextmanager
async def subscribe(
    relay: Relay, account_id: str, after: str | None, *, wanted: Wanted, lifetime_s: float
) -> AsyncIterator[Subscription]:
    """Open a cursor at `after`. Raises what the database raises when the log's head cannot be read."""
    async with relay.channel(account_id) as (channel, head):
        begin = cursor.start(after, epoch=channel.epoch, head=head)
        if begin.reset is not None:
            RESETS.labels(begin.reset).inc()
        yield Subscription(relay, channel, head, begin, wanted=wanted, ends_at=monotonic() + lifetime_s)
