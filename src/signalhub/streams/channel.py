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

from signalhub.streams.filters import Wanted

RING = 1024

WRITE = 64 * 1024
"""Bytes of events after which one write to a subscriber is full."""

_AT_ONCE = 256

_REST = 2
_LONGEST_REST_S = 0.025

_FEW = 8
"""Frames that need no measuring: an event is about as long as the longest text there is."""


class Frame(msgspec.Struct, frozen=True):
    """One event as the transports send it: the JSON, and the same in SSE's dress, made once for all subscribers."""

    seq: int
    type: str
    body: bytes
    sse: bytes


class Gap(msgspec.Struct, frozen=True):
    """Events that retention has pruned: `first` to `last`, both gone."""

    first: int
    last: int


class Parcel(msgspec.Struct, frozen=True):
    """One write to a transport: its ASGI message, shared by all who are sent the same, and how much text is in it."""

    message: dict[str, Any]
    size: int


Dress = Callable[[Sequence[Frame | Gap], str], list[Parcel]]
"""From events, and the epoch they are of, to what a transport sends."""


class Dressed(msgspec.Struct, frozen=True):
    """`seq` is the last event that is in the parcels or was passed over by the filter."""

    seq: int
    parcels: list[Parcel]


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
    """`head` is the last event known here; the ring holds all that is kept of what follows `_since`."""

    def __init__(self, account_id: str, epoch: str) -> None:
        self.account_id, self.epoch = account_id, epoch
        self.head = 0
        self.is_ready = False
        self.subscribers = 0
        self.listeners: set[Callable[[], None]] = set()
        self.filling = asyncio.Lock()
        self._since = 0
        self._ring: list[Frame] = []
        self._dressed: dict[tuple[int, Wanted, Dress], Dressed] = {}
        self._is_telling = False
        self._rests_until = 0.0

    def start(self, head: int) -> None:
        """Begin at `head`. Frames that came before this was known are in the database."""
        self.head, self._since, self.is_ready = head, head, True
        self._dressed.clear()
        self._ring.clear()  # what it holds may not run on to `head`, and a ring with a hole would be counted wrongly

    def push(self, fresh: Frame) -> bool:
        """Append the next frame; an old one is passed over. False: there is a gap before it, to be healed."""
        if fresh.seq <= self.head:
            return True
        if fresh.seq > self.head + 1 or not self.is_ready:
            return False
        self._ring.append(fresh)
        self._dressed.clear()
        self.head = fresh.seq
        if len(self._ring) > 2 * RING:
            del self._ring[:-RING]
            self._since = self._ring[0].seq - 1
        self.wake()
        return True

    def after(self, seq: int, most: int) -> Sequence[Frame] | None:
        """Up to `most` frames after `seq`, or a write full; None where the ring no longer reaches back that far."""
        if seq >= self.head:
            return ()
        if seq < self._since or not self._ring:
            return None
        begin = max(0, seq + 1 - self._ring[0].seq)
        found = self._ring[begin : begin + most]
        return found if len(found) <= _FEW else fitting(found)

    def dressed(self, seq: int, wanted: Wanted, dress: Dress) -> Dressed | None:
        """All that is new after `seq`; None where the ring does not have it, or one write does not take it."""
        name = (seq, wanted, dress)
        found = self._dressed.get(name)
        if found is None:
            frames = self.after(seq, _AT_ONCE)
            if frames is None or (frames and frames[-1].seq < self.head):
                return None
            last = frames[-1].seq if frames else seq
            shown = [one for one in frames if wanted(one.type)]
            found = self._dressed[name] = Dressed(last, dress(shown, self.epoch) if shown else [])
        return found

    def reach_back(self, since: int, past: Sequence[Frame]) -> None:
        """Put before the ring what it no longer has, where `past`, all that follows `since`, runs on into it."""
        is_run = bool(past) and past[-1].seq - past[0].seq == len(past) - 1
        if is_run and since < self._since <= past[-1].seq:
            self._ring[:0] = [one for one in past if one.seq <= self._since]
            self._since = since

    def wake(self) -> None:
        """Let every subscriber look again, once for all that happens until then.

        After a crowd was told there is a rest twice as long as that took: what happens meanwhile goes out with the next
        write, and it is writes that cost. One subscriber never waits.
        """
        if not self._is_telling:
            self._is_telling = True
            rest, loop = self._rests_until - monotonic(), asyncio.get_running_loop()
            if rest > 0:
                loop.call_later(rest, self._tell)
            else:
                loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._is_telling = False
        began = monotonic()
        for listener in tuple(self.listeners):
            listener()
        ended = monotonic()
        self._rests_until = ended + min(_REST * (ended - began), _LONGEST_REST_S)
