"""Where a subscriber is in the log, as text: `<epoch>-<seq>`, or a bare `<seq>`.

Short and of `[A-Za-z0-9-]` only, because a browser sends a longer or stranger Last-Event-ID across origins only after
asking first.


One subscriber: a cursor over an account's log.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from signalhub.streams.channel import Channel, EventEncoder, Frame, OutgoingMessage, PrunedRange
from signalhub.streams.event_filter import EventFilter
from signalhub.streams.metrics import GAPS, RESETS, WRITE_COUNTERS
from signalhub.streams.relay import Relay

_CURSOR_PATTERN: Final = re.compile(r"(?:(?P<epoch>[A-Za-z0-9]{1,32})-)?(?P<seq>\d{1,18})", re.ASCII)


class StartPosition(msgspec.Struct, frozen=True):
    """From which `seq` to go on; `reset` says why that is not what was asked for."""

    seq: int
    reset_reason: str | None = None


def resolve_cursor(text: str | None, *, epoch: str, head: int) -> StartPosition:
    """Read a cursor. Whatever is wrong with it ends in a reset to the head, never in silence."""
    if text is None or text == "":
        return StartPosition(head)
    match = _CURSOR_PATTERN.fullmatch(text)
    if match is None:
        return StartPosition(head, "malformed")
    if match["epoch"] is not None and match["epoch"] != epoch:
        return StartPosition(head, "epoch")
    seq = int(match["seq"])
    return StartPosition(seq) if seq <= head else StartPosition(head, "future")


def parse_cursor_seq(text: str | None) -> int | None:
    """The `seq` in a cursor, whatever log it is of; None where there is none."""
    match = _CURSOR_PATTERN.fullmatch(text or "")
    return int(match["seq"]) if match else None


def format_cursor(epoch: str, seq: int) -> str:
    return f"{epoch}-{seq}"


_MAX_FRAMES_PER_READ = 256
_OUTAGE_PAUSE_S = 0.3


class Subscription:
    """`seq` is the last event passed on. `ended` says why there will be no more."""

    def __init__(  # noqa: PLR0913 - made in one place, below
        self,
        relay: Relay,
        channel: Channel,
        head: int,
        start: StartPosition,
        *,
        event_filter: EventFilter,
        ends_at: float,
    ) -> None:
        self._relay, self._channel, self._event_filter, self._ends_at = relay, channel, event_filter, ends_at
        self.epoch, self.head, self.start_position = channel.epoch, head, start
        self.seq = start.seq
        self.end_reason: str | None = None
        self.try_deliver: Callable[[], bool] | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._idle_since = 0.0

    @property
    def lag_events(self) -> int:
        """How many events this stream has not been given yet."""
        return self._channel.head - self.seq

    def end(self, reason: str) -> None:
        self.end_reason = self.end_reason or reason
        self.notify()

    async def read(self, timeout_s: float) -> Sequence[Frame | PrunedRange]:
        """What comes next, in order; empty after `wait_s` without news, or at the end."""
        self._idle_since = monotonic()
        while self._check_active():
            found = await self._read_once()
            if found:
                return found
            now, until = monotonic(), self._idle_since + timeout_s
            if now >= until:
                break
            if self.seq >= self._channel.head:
                await self._wait_for_wakeup(min(until, self._ends_at) - now)
        return ()

    def encode_available(self, encode: EventEncoder) -> Sequence[OutgoingMessage] | None:
        """All that is new, where the ring has it; None: not so, and the cursor stays where it is."""
        if not self._check_active():
            return None
        found = self._channel.encode_after(self.seq, self._event_filter, encode)
        if found is None:
            return None
        self.seq = found.last_seq
        if found.messages:
            WRITE_COUNTERS.ring_hits += 1
            self._idle_since = monotonic()
        return found.messages

    def notify(self) -> None:
        """There may be news. A task that is at work will see for itself."""
        if (
            self._wakeup is not None
            and not (self.try_deliver is not None and self.try_deliver())
            and not self._wakeup.done()
        ):
            self._wakeup.set_result(None)

    def _check_active(self) -> bool:
        if self.end_reason is None and self.epoch != self._relay.epoch:
            self.end_reason = "epoch"  # who comes back with this stream's cursor is told to begin anew
        if self.end_reason is None and monotonic() >= self._ends_at:
            self.end_reason = "lifetime"
        return self.end_reason is None

    async def _wait_for_wakeup(self, timeout_s: float) -> None:
        """Until something is new that cannot be passed on at once, or `most_s` has passed."""
        loop = asyncio.get_running_loop()
        self._wakeup = waiting = loop.create_future()
        timer = loop.call_later(max(timeout_s, 0.001), _set_done, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._wakeup = None

    async def _read_once(self) -> Sequence[Frame | PrunedRange]:
        frames = self._channel.frames_after(self.seq, _MAX_FRAMES_PER_READ)
        if frames is None:
            return await self._read_from_database()
        WRITE_COUNTERS.ring_hits += bool(frames)
        return self._advance(frames)

    async def _read_from_database(self) -> Sequence[Frame | PrunedRange]:
        head = self._channel.head
        try:
            frames = await self._relay.read_page(self._channel, self.seq)
        except (SQLAlchemyError, OSError, TimeoutError):
            # The stream stays open while the database is away: what it has to tell can wait.
            await asyncio.sleep(_OUTAGE_PAUSE_S)
            return ()
        if self.epoch != self._relay.epoch:  # that page is of another log
            return ()
        if not frames:  # there were events up to `head`, and none of them is kept
            GAPS.inc()
            missing, self.seq = PrunedRange(self.seq + 1, head), head
            return [missing]
        return self._advance(frames)

    def _advance(self, frames: Sequence[Frame]) -> Sequence[Frame | PrunedRange]:
        if not frames:
            return ()
        missing = [PrunedRange(self.seq + 1, frames[0].seq - 1)] if frames[0].seq > self.seq + 1 else []
        GAPS.inc(len(missing))
        self.seq = frames[-1].seq
        return [*missing, *(one for one in frames if self._event_filter(one.type))]


def _set_done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


@asynccontextmanager
async def subscribe(
    relay: Relay, account_id: str, cursor_text: str | None, *, event_filter: EventFilter, lifetime_s: float
) -> AsyncIterator[Subscription]:
    """Open a cursor at `after`. Raises what the database raises when the log's head cannot be read."""
    async with relay.open_channel(account_id) as channel:
        head = await relay.read_head(channel, parse_cursor_seq(cursor_text))
        begin = resolve_cursor(cursor_text, epoch=channel.epoch, head=head)
        if begin.reset_reason is not None:
            RESETS.labels(begin.reset_reason).inc()
        subscription = Subscription(
            relay, channel, head, begin, event_filter=event_filter, ends_at=monotonic() + lifetime_s
        )
        channel.listeners.add(subscription.notify)
        try:
            yield subscription
        finally:
            channel.listeners.discard(subscription.notify)
