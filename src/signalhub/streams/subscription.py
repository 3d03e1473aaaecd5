"""One subscriber of an account's log: its cursor, and the connection that writes what the cursor reads.

An event is written as soon as it is published, without waking the connection's task, wherever the transport is free;
where a write has to wait, the task goes on from the ring or, behind it, from the database. As text a cursor is
`<epoch>-<seq>`, or a bare `<seq>`. It is short and of `[A-Za-z0-9-]` only, because a browser sends a longer or
stranger Last-Event-ID across origins only after a preflight request.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from signalhub.concurrency import EagerWrite
from signalhub.streams.account_channel import Channel, EventEncoder, Frame, OutgoingMessage, PrunedRange
from signalhub.streams.event_filter import EventFilter
from signalhub.streams.metrics import BYTES_WRITTEN, GAPS, RESETS, RING_HITS
from signalhub.streams.stream_relay import Relay

_CURSOR_PATTERN: Final = re.compile(r"(?:(?P<epoch>[A-Za-z0-9]{1,32})-)?(?P<seq>\d{1,18})", re.ASCII)
_MAX_FRAMES_PER_READ = 256
_OUTAGE_PAUSE_S = 0.3


class StartPosition(msgspec.Struct, frozen=True):
    """The stream goes on after `seq`. `reset_reason` says why that is not where the cursor pointed."""

    seq: int
    reset_reason: str | None = None


def resolve_cursor(text: str | None, *, epoch: str, head: int) -> StartPosition:
    """Return where to start. A cursor that cannot be followed gives the head and a reason, never an error."""
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
    """Return the `seq` of a cursor, of whatever epoch; None where there is none."""
    match = _CURSOR_PATTERN.fullmatch(text or "")
    return int(match["seq"]) if match else None


def format_cursor(epoch: str, seq: int) -> str:
    return f"{epoch}-{seq}"


class Subscription:
    """`seq` is the last event that was read, `sent_seq` the cursor that the reader knows of. They differ where a filter
    has hidden the last events. `end_reason` is set once the stream is over.

    `try_deliver` is called for a new event while `read` waits; it returns whether it has written the event itself.
    """

    def __init__(  # noqa: PLR0913 - made in one place, `subscribe`
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
        self.seq = self.sent_seq = start.seq
        self.end_reason: str | None = None
        self.try_deliver: Callable[[], bool] | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._idle_since = 0.0

    @property
    def lag_events(self) -> int:
        """How many events this stream has yet to receive."""
        return self._channel.head - self.seq

    def end(self, reason: str) -> None:
        """End the stream. The first reason stays."""
        self.end_reason = self.end_reason or reason
        self.notify()

    def check_active(self) -> bool:
        """Return whether the stream goes on, after ending it where its epoch or its lifetime is over."""
        if self.end_reason is None and self.epoch != self._relay.epoch:
            self.end_reason = "epoch"  # a client that comes back with this stream's cursor is told to reset
        if self.end_reason is None and monotonic() >= self._ends_at:
            self.end_reason = "lifetime"
        return self.end_reason is None

    def notify(self) -> None:
        """Deliver a new event, or wake `read` to do so. A reader that is not waiting will find it by itself."""
        if self._wakeup is not None and not (self.try_deliver is not None and self.try_deliver()):
            self.wake()

    def wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def encode_available(self, encode: EventEncoder) -> Sequence[OutgoingMessage] | None:
        """Encode all new events, if the ring has them. None: it has not, and the cursor stays."""
        if not self.check_active():
            return None
        batch = self._channel.encode_after(self.seq, self._event_filter, encode)
        if batch is None:
            return None
        self.seq = batch.last_seq
        if batch.messages:
            self.sent_seq = batch.sent_seq
            RING_HITS.pending[()] += 1
            self._idle_since = monotonic()
        return batch.messages

    async def read(self, timeout_s: float) -> Sequence[Frame | PrunedRange]:
        """Return what comes next, in order; nothing after `timeout_s` of silence, or at the end."""
        self._idle_since = monotonic()
        while self.check_active():
            items = await self._read_next()
            if items:
                return items
            # Events that `try_deliver` wrote in the meantime are no silence: `_idle_since` moves with them.
            now, deadline = monotonic(), self._idle_since + timeout_s
            if now >= deadline:
                break
            if self.seq >= self._channel.head:
                await self._wait_for_wakeup(min(deadline, self._ends_at) - now)
        return ()

    async def _wait_for_wakeup(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._wakeup = loop.create_future()
        timer = loop.call_later(max(timeout_s, 0.001), self.wake)
        try:
            await self._wakeup
        finally:
            timer.cancel()
            self._wakeup = None

    async def _read_next(self) -> Sequence[Frame | PrunedRange]:
        """Return what follows the cursor, from the ring or from the database, and move the cursor past it."""
        channel, head = self._channel, self._channel.head
        try:
            frames = channel.frames_after(self.seq, _MAX_FRAMES_PER_READ)
            if frames is None:
                frames, is_from_ring = await self._relay.read_page(channel, self.seq), False
            else:
                RING_HITS.pending[()] += bool(frames)
                is_from_ring = True
            while (visible := channel.select(frames, self._event_filter)) is None:
                await self._relay.load_sources(channel, frames)
        except (SQLAlchemyError, OSError, TimeoutError):
            # The stream stays open while the database is away, and goes on from its cursor.
            await asyncio.sleep(_OUTAGE_PAUSE_S)
            return ()
        if self.epoch != self._relay.epoch:  # the page is of another log
            return ()
        if not frames and not is_from_ring:  # there were events up to `head`, and all of them are pruned
            GAPS.inc()
            pruned, self.seq, self.sent_seq = PrunedRange(self.seq + 1, head), head, head
            return [pruned]
        return self._advance(frames, visible)

    def _advance(self, frames: Sequence[Frame], visible: Sequence[Frame]) -> Sequence[Frame | PrunedRange]:
        """Move the cursor to the end of `frames`. Return those that are visible, after the gap before them."""
        if not frames:
            return ()
        pruned = [PrunedRange(self.seq + 1, frames[0].seq - 1)] if frames[0].seq > self.seq + 1 else []
        GAPS.inc(len(pruned))
        self.seq = frames[-1].seq
        if visible:
            self.sent_seq = visible[-1].seq
        elif pruned:
            self.sent_seq = pruned[0].last_seq
        return [*pruned, *visible] if pruned else visible


@asynccontextmanager
async def subscribe(
    relay: Relay, account_id: str, cursor_text: str | None, *, event_filter: EventFilter, lifetime_s: float
) -> AsyncIterator[Subscription]:
    """Open a cursor at `cursor_text`. Raises the database's error when the head of the log cannot be read."""
    async with relay.open_channel(account_id) as channel:
        head = await relay.read_head(channel, parse_cursor_seq(cursor_text))
        start = resolve_cursor(cursor_text, epoch=channel.epoch, head=head)
        if start.reset_reason is not None:
            RESETS.labels(start.reset_reason).inc()
        subscription = Subscription(
            relay, channel, head, start, event_filter=event_filter, ends_at=monotonic() + lifetime_s
        )
        channel.listeners.add(subscription.notify)
        try:
            yield subscription
        finally:
            channel.listeners.discard(subscription.notify)


class Transport(msgspec.Struct, frozen=True):
    """How a stream leaves: `name` is its label in metrics, `send` its ASGI `send`."""

    name: str
    send: Callable[[Any], Awaitable[None]]
    encode: EventEncoder


class Connection:
    """One open stream: a subscription and its transport. Must be made by the task that runs it.

    `acknowledged_at` is when the reader last showed that it is alive.
    """

    def __init__(self, subscription: Subscription, transport: Transport) -> None:
        self.subscription, self.transport = subscription, transport
        self.is_aborted = False
        self.acknowledged_at = monotonic()
        self.unanswered_heartbeats = 0
        self._answers_heartbeats = False
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
                self.unanswered_heartbeats += self._answers_heartbeats
            else:
                continue
            await self.send(messages)
            if not items:
                self.subscription.sent_seq = self.subscription.seq

    def try_deliver(self) -> bool:
        """Write all new events without waiting. Return False, with nothing written, where that is not possible."""
        if not self.is_writable:
            return False
        messages = self.subscription.encode_available(self.transport.encode)
        if messages is None:
            return False
        if messages:
            self.start_write(messages)
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
        `signalhub.web_server`), so the end of the last write is the end of all.
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

    def acknowledge(self, *, is_answer: bool) -> None:
        """Note a message from the reader. One that has answered a heartbeat is expected to answer the others."""
        self.acknowledged_at = monotonic()
        self.unanswered_heartbeats = 0
        self._answers_heartbeats = self._answers_heartbeats or is_answer

    def replace(self) -> None:
        """End the stream in favour of another; at once where its reader does not even take what was sent before."""
        if self.is_writable:
            self.subscription.end("replaced")
        else:
            self.abort("replaced")

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
