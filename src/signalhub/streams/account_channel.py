"""The live end of one account's log: a bounded ring of frames, and subscribers that are cursors over it.

A cursor is a number. A subscriber that is behind the ring reads the database until it has caught up, so that a slow
reader costs no memory and misses nothing. Events that arrive in one pass of the event loop are delivered together, and
subscribers at the same cursor with the same filter and encoding are sent the same bytes, encoded once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any

import msgspec

from signalhub.streams.event_filter import EventFilter, SignalSources

RING_FRAMES = 1024

MAX_WRITE_BYTES = 64 * 1024
"""Bytes of events after which one write to a subscriber is full."""

_MAX_FRAMES_PER_WRITE = 256

_NOTIFY_PAUSE_FACTOR = 2
_MAX_NOTIFY_PAUSE_S = 0.025

_MAX_KEPT_DELIVERIES = 64
_MAX_UNMEASURED_FRAMES = 8
"""Frames that are sent without measuring them: an event is hardly longer than the longest signal text."""


class Frame(msgspec.Struct, frozen=True):
    """One event as the transports send it: its JSON, and its SSE block, encoded once for all subscribers."""

    seq: int
    type: str
    body: bytes
    sse: bytes


class PrunedRange(msgspec.Struct, frozen=True):
    """Events that retention has deleted, both ends included."""

    first_seq: int
    last_seq: int


class OutgoingMessage(msgspec.Struct, frozen=True):
    """One write to a transport: an ASGI message, shared by subscribers, and the size of its text."""

    asgi_message: dict[str, Any]
    size_bytes: int


EventEncoder = Callable[[Sequence[Frame | PrunedRange], str], list[OutgoingMessage]]
"""Encodes events of an epoch for a transport."""


class EncodedBatch(msgspec.Struct, frozen=True):
    """`last_seq` is the last event that is in the messages or was hidden by the filter, `sent_seq` the last in them."""

    last_seq: int
    sent_seq: int
    messages: list[OutgoingMessage]


def encode_frame(epoch: str, seq: int, type_: str, body: bytes) -> Frame:
    """Encode an event. The id is the last line of its SSE block.

    Many clients take the id when they read its line. If the connection broke between it and the data, they would resume
    after an event that they have not received.
    """
    return Frame(seq, type_, body, b"event: %b\ndata: %b\nid: %b-%d\n\n" % (type_.encode(), body, epoch.encode(), seq))


def limit_to_write_size(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Return as many frames as one write takes, and at least one."""
    size = 0
    for index, frame in enumerate(frames):
        if size >= MAX_WRITE_BYTES:
            return frames[:index]
        size += len(frame.body)
    return frames


class Channel:
    """`head` is the last event known here; the ring holds all events after `_ring_after_seq`, as far as not pruned.

    `early_seqs` are events that the stream brought before an earlier one, `backfilled_seqs` those that were read from
    the database and that it has not brought yet.
    """

    def __init__(self, account_id: str, epoch: str) -> None:
        self.account_id, self.epoch = account_id, epoch
        self.head = 0
        self.is_ready = False
        self.subscriber_count = 0
        self.listeners: set[Callable[[], None]] = set()
        self.prepend_lock = asyncio.Lock()
        self.early_seqs: set[int] = set()
        self.sources, self.sources_lock = SignalSources(), asyncio.Lock()
        self.backfilled_seqs: set[int] = set()
        self._ring_after_seq = 0
        self._ring: list[Frame] = []
        self._encoded_batches: dict[tuple[int, EventFilter, EventEncoder], EncodedBatch] = {}
        self._deliveries: deque[tuple[frozenset[int], float]] = deque(maxlen=_MAX_KEPT_DELIVERIES)
        self._is_notify_scheduled = False
        self._next_notify_at = 0.0

    def start(self, head: int) -> None:
        """Begin at `head`. Frames that were pushed before it was known are in the database."""
        self.head, self._ring_after_seq, self.is_ready = head, head, True
        self.early_seqs = {seq for seq in self.early_seqs if seq > head}
        self._encoded_batches.clear()
        self._ring.clear()  # its frames may end before `head`, and positions in a ring with a hole would be wrong

    def push(self, new_frame: Frame) -> bool:
        """Append the next frame and ignore an old one. False: there is a gap before it, to be backfilled first."""
        if new_frame.seq <= self.head:
            return True
        if new_frame.seq > self.head + 1 or not self.is_ready:
            return False
        self._ring.append(new_frame)
        self._encoded_batches.clear()
        self.head = new_frame.seq
        if len(self._ring) > 2 * RING_FRAMES:
            del self._ring[:-RING_FRAMES]
            self._ring_after_seq = self._ring[0].seq - 1
        self.schedule_notify()
        return True

    def note_streamed(self, first_seq: int, last_seq: int) -> None:
        """Remember that the stream brought these events, so that a backfill of them does not count as a loss."""
        seqs = range(first_seq, last_seq + 1)
        self.backfilled_seqs.difference_update(seqs)
        if last_seq > self.head:
            self.early_seqs.update(seqs)

    def push_backfilled(self, frame: Frame) -> None:
        """Append a frame that was read from the database. Those before it are pruned, if any are missing."""
        if frame.seq <= self.head:
            return  # the stream has brought it in the meantime
        if not self.push(frame):
            self.start(frame.seq - 1)  # cursors find the gap and report it
            self.push(frame)
        if frame.seq in self.early_seqs:
            self.early_seqs.discard(frame.seq)
        else:
            self.backfilled_seqs.add(frame.seq)

    def frames_after(self, seq: int, max_frames: int) -> Sequence[Frame] | None:
        """Return frames after `seq`, at most one write full; None where the ring does not reach back that far."""
        if seq >= self.head:
            return ()
        if seq < self._ring_after_seq or not self._ring:
            return None
        start = max(0, seq + 1 - self._ring[0].seq)
        frames = self._ring[start : start + max_frames]
        return frames if len(frames) <= _MAX_UNMEASURED_FRAMES else limit_to_write_size(frames)

    def encode_after(self, seq: int, event_filter: EventFilter, encode: EventEncoder) -> EncodedBatch | None:
        """Encode all new events after `seq`, once for all that ask alike.

        None where the ring does not have them, one write does not take them, or sources have to be loaded.
        """
        key = (seq, event_filter, encode)
        batch = self._encoded_batches.get(key)
        if batch is None:
            frames = self.frames_after(seq, _MAX_FRAMES_PER_WRITE)
            if frames is None or (frames and frames[-1].seq < self.head):
                return None
            last_seq = frames[-1].seq if frames else seq
            visible = self.select(frames, event_filter)
            if visible is None:
                return None
            messages = encode(visible, self.epoch) if visible else []
            batch = EncodedBatch(last_seq, visible[-1].seq if visible else seq, messages)
            self._encoded_batches[key] = batch
            if batch.messages:
                self._deliveries.append((frozenset([frame.seq for frame in visible]), time()))
        return batch

    def find_delivery_time(self, seq: int) -> datetime | None:
        """Return when the first live subscriber was sent this event; None if that is not known any more."""
        for sent_seqs, sent_at in self._deliveries:
            if seq in sent_seqs:
                return datetime.fromtimestamp(sent_at, UTC)
        return None

    def select(self, frames: Sequence[Frame], event_filter: EventFilter) -> Sequence[Frame] | None:
        """Return the frames that pass the filter. None: the source of one of their signals has to be loaded first."""
        if event_filter.selects_all:
            return frames
        choices = [event_filter.selects(frame.type, frame.body, self.sources) for frame in frames]
        if None in choices:
            return None
        return [frame for frame, is_visible in zip(frames, choices, strict=True) if is_visible]

    def prepend(self, after_seq: int, frames: Sequence[Frame]) -> None:
        """Extend the ring backwards with `frames`, all that follow `after_seq`, if they reach it without a gap."""
        is_run = bool(frames) and frames[-1].seq - frames[0].seq == len(frames) - 1
        if is_run and after_seq < self._ring_after_seq <= frames[-1].seq:
            self._ring[:0] = [frame for frame in frames if frame.seq <= self._ring_after_seq]
            self._ring_after_seq = after_seq

    def schedule_notify(self) -> None:
        """Notify every listener, once for all events that are pushed until then.

        After a round of notifications there is a pause of twice its duration: events of that time go out in the same
        write, and writes are what costs. With one subscriber the pause is too short to notice.
        """
        if not self._is_notify_scheduled:
            self._is_notify_scheduled = True
            pause_s, loop = self._next_notify_at - monotonic(), asyncio.get_running_loop()
            if pause_s > 0:
                loop.call_later(pause_s, self._notify_listeners)
            else:
                loop.call_soon(self._notify_listeners)

    def _notify_listeners(self) -> None:
        self._is_notify_scheduled = False
        started_at = monotonic()
        for listener in tuple(self.listeners):
            listener()
        now = monotonic()
        self._next_notify_at = now + min(_NOTIFY_PAUSE_FACTOR * (now - started_at), _MAX_NOTIFY_PAUSE_S)
