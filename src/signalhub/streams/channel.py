"""One account's live end of the log: a bounded ring of frames, and subscribers that are cursors over it.

A cursor holds nothing but a number. Whoever is behind the ring reads the database until it is not, so that a slow
reader costs the server no memory and misses nothing.
"""

import asyncio
from collections.abc import Sequence

import msgspec

RING = 1024

WRITE = 256 * 1024
"""Bytes of events after which one write to a subscriber is full."""

_FEW = 8
"""Frames that need no measuring: an event is about as long as the longest text there is."""


class Frame(msgspec.Struct, frozen=True):
    """One event as the transports send it: the JSON, and the same in SSE's dress, made once for all subscribers."""

    seq: int
    type: str
    body: bytes
    sse: bytes


def frame(epoch: str, seq: int, type_: str, body: bytes) -> Frame:
    return Frame(seq, type_, body, b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (epoch.encode(), seq, type_.encode(), body))


def fitting(frames: Sequence[Frame]) -> Sequence[Frame]:
    """As many as one write takes, and never none."""
    size = 0
    for place, one in enumerate(frames):
        if size >= WRITE:
            return frames[:place]
        size += len(one.body)
    return frames


class Channel:
    """`head` is the last event known here; the ring holds a run without gaps that ends at it."""

    def __init__(self, account_id: str, epoch: str) -> None:
        self.account_id, self.epoch = account_id, epoch
        self.head = 0
        self.is_ready = False
        self.subscribers = 0
        self._ring: list[Frame] = []
        self._changed = asyncio.Event()

    def start(self, head: int) -> None:
        """Begin at `head`. Frames that came before this was known are in the database."""
        self.head, self.is_ready = head, True
        self._ring.clear()  # what it holds may not run on to `head`, and a ring with a hole would be counted wrongly

    def push(self, fresh: Frame) -> bool:
        """Append the next frame; an old one is passed over. False: there is a gap before it, to be healed."""
        if fresh.seq <= self.head:
            return True
        if fresh.seq > self.head + 1 or not self.is_ready:
            return False
        self._ring.append(fresh)
        self.head = fresh.seq
        if len(self._ring) > 2 * RING:
            del self._ring[:-RING]
        self.wake()
        return True

    def after(self, seq: int, most: int) -> Sequence[Frame] | None:
        """Up to `most` frames after `seq`, or a write full; None where the ring no longer reaches back that far."""
        if seq >= self.head:
            return ()
        if not self._ring or seq + 1 < self._ring[0].seq:
            return None
        begin = seq + 1 - self._ring[0].seq
        found = self._ring[begin : begin + most]
        return found if len(found) <= _FEW else fitting(found)

    def wake(self) -> None:
        """Let every waiting subscriber look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, timeout_s: float) -> None:
        """Until something is new, or `timeout_s` has passed."""
        event = self._changed
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return
