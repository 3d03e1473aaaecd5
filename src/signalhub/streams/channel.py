"""One account's live end of the log: a bounded ring of frames, and subscribers that are cursors over it.

A cursor holds nothing but a number. Whoever is behind the ring reads the database until it is not, so that a slow
reader costs the server no memory and misses nothing. What comes in one pass of the loop is told in one go, and those
who are at the same place and ask for the same are given the same bytes.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import msgspec

from signalhub.streams.event_filter import EventFilter

RING_FRAMES = 1024

MAX_WRITE_BYTES = 64 * 1024
"""Bytes of events after which one write to a subscriber is full."""

_MAX_FRAMES_PER_WRITE = 256

_NOTIFY_PAUSE_FACTOR = 2
_MAX_NOTIFY_PAUSE_S = 0.025

_MAX_UNMEASURED_FRAMES = 8
"""Frames that need no measuring: an event is about as long as the longest text there is."""


class Frame(msgspec.Struct, frozen=True):
    """One event as the transports send it: the JSON, and the same in SSE's dress, made once for all subscribers."""

    seq: int
    type: str
    body: bytes
    sse: bytes


class PrunedRange(msgspec.Struct, frozen=True):
    """Events that retention has pruned: `first` to `last`, both gone."""

    first_seq: int
    last_seq: int


class OutgoingMessage(msgspec.Struct, frozen=True):
    """One write to a transport: its ASGI message, shared by all who are sent the same, and how much text is in it."""

    asgi_message: dict[str, Any]
    size_bytes: int


EventEncoder = Callable[[Sequence[Frame | PrunedRange], str], list[OutgoingMessage]]
"""From events, and the epoch they are of, to what a transport sends."""


class EncodedBatch(msgspec.Struct, frozen=True):
    """`seq` is the last event that is in the parcels or was passed over by the filter."""

    last_seq: int
    messages: list[OutgoingMessage]


def encode_frame(epoch: str, seq: int, type_: str, body: bytes) -> Frame:
    return Frame(seq, type_, body, b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (epoch.encode(), seq, type_.encode(), body))


def limit_to_write_size(frames: Sequence[Frame]) -> Sequence[Frame]:
    """As many as one write takes, and never none."""
    size = 0
    for place, one in enumerate(frames):
        if size >= MAX_WRITE_BYTES:
            return frames[:place]
        size += len(one.body)
    return frames


class Channel:
    """`head` is the last event known here; the ring holds all that is kept of what follows `_since`."""

    def __init__(self, account_id: str, epoch: str) -> None:
        self.account_id, self.epoch = account_id, epoch
        self.head = 0
        self.is_ready = False
        self.subscriber_count = 0
        self.listeners: set[Callable[[], None]] = set()
        self.prepend_lock = asyncio.Lock()
        self._ring_after_seq = 0
        self._ring: list[Frame] = []
        self._encoded_batches: dict[tuple[int, EventFilter, EventEncoder], EncodedBatch] = {}
        self._is_notify_scheduled = False
        self._next_notify_at = 0.0

    def start(self, head: int) -> None:
        """Begin at `head`. Frames that came before this was known are in the database."""
        self.head, self._ring_after_seq, self.is_ready = head, head, True
        self._encoded_batches.clear()
        self._ring.clear()  # what it holds may not run on to `head`, and a ring with a hole would be counted wrongly

    def push(self, new_frame: Frame) -> bool:
        """Append the next frame; an old one is passed over. False: there is a gap before it, to be healed."""
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

    def frames_after(self, seq: int, max_frames: int) -> Sequence[Frame] | None:
        """Up to `most` frames after `seq`, or a write full; None where the ring no longer reaches back that far."""
        if seq >= self.head:
            return ()
        if seq < self._ring_after_seq or not self._ring:
            return None
        begin = max(0, seq + 1 - self._ring[0].seq)
        found = self._ring[begin : begin + max_frames]
        return found if len(found) <= _MAX_UNMEASURED_FRAMES else limit_to_write_size(found)

    def encode_after(self, seq: int, event_filter: EventFilter, encode: EventEncoder) -> EncodedBatch | None:
        """All that is new after `seq`; None where the ring does not have it, or one write does not take it."""
        name = (seq, event_filter, encode)
        found = self._encoded_batches.get(name)
        if found is None:
            frames = self.frames_after(seq, _MAX_FRAMES_PER_WRITE)
            if frames is None or (frames and frames[-1].seq < self.head):
                return None
            last = frames[-1].seq if frames else seq
            shown = [one for one in frames if event_filter(one.type)]
            found = self._encoded_batches[name] = EncodedBatch(last, encode(shown, self.epoch) if shown else [])
        return found

    def prepend(self, after_seq: int, frames: Sequence[Frame]) -> None:
        """Put before the ring what it no longer has, where `past`, all that follows `since`, runs on into it."""
        is_run = bool(frames) and frames[-1].seq - frames[0].seq == len(frames) - 1
        if is_run and after_seq < self._ring_after_seq <= frames[-1].seq:
            self._ring[:0] = [one for one in frames if one.seq <= self._ring_after_seq]
            self._ring_after_seq = after_seq

    def schedule_notify(self) -> None:
        """Let every subscriber look again, once for all that happens until then.

        After a crowd was told there is a rest twice as long as that took: what happens meanwhile goes out with the next
        write, and it is writes that cost. One subscriber never waits.
        """
        if not self._is_notify_scheduled:
            self._is_notify_scheduled = True
            rest, loop = self._next_notify_at - monotonic(), asyncio.get_running_loop()
            if rest > 0:
                loop.call_later(rest, self._notify_listeners)
            else:
                loop.call_soon(self._notify_listeners)

    def _notify_listeners(self) -> None:
        self._is_notify_scheduled = False
        began = monotonic()
        for listener in tuple(self.listeners):
            listener()
        ended = monotonic()
        self._next_notify_at = ended + min(_NOTIFY_PAUSE_FACTOR * (ended - began), _MAX_NOTIFY_PAUSE_S)
