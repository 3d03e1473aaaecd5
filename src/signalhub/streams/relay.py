"""One relay a process: reads the Redis stream once and feeds every watched account's channel.

What keeps the promise is not the stream. A jump in `seq` is healed from the database before anything is delivered, and
every few seconds the heads of the watched logs are compared with the database, so that a dead reader or a lost tail is
noticed even when nothing more arrives.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import epoch, log
from db.engine import at_once
from signalhub.streams import wire
from signalhub.streams.channel import RING, WRITE, Channel, Frame, fitting, frame
from signalhub.streams.heads import HeadReader
from signalhub.streams.metrics import HEALS, RING_MISSES

PAGE = 128
_AROUND = 64
_FILL = 4 * WRITE
"""Bytes of a page that fills a ring: it is held once for all, and one look should do."""

_BLOCK_MS = 1000
# A connection that says nothing for this long, though asked every second, is dead without having said so.
_SILENCE_S = 3.0
_HEADS_AT_ONCE = 1000
_IDLE_S = 1.0

_log = structlog.get_logger()


class Relay:
    """`pulse_s` is the time between two comparisons of heads; while the reader is down they come far oftener."""

    def __init__(self, engine: AsyncEngine, redis_url: str, *, pulse_s: float = 2.0) -> None:
        self._engine, self._redis_url, self._pulse_s = engine, redis_url, pulse_s
        self._at_once = at_once(engine)
        self._heads = HeadReader(engine)
        self._channels: dict[str, Channel] = {}
        self._watched = asyncio.Event()
        self._healing: dict[str, asyncio.Task[None]] = {}
        self._pages: dict[tuple[str, int], asyncio.Task[list[Frame]]] = {}
        # Catching up must not take every connection from those who accept signals.
        self._reads = asyncio.Semaphore(4)
        self._tasks: list[asyncio.Task[None]] = []
        self.epoch = ""
        self.is_reading = False

    async def start(self) -> None:
        async with self._engine.connect() as connection:
            self.epoch = await epoch.current(connection)
            await connection.commit()
        self._tasks = [asyncio.create_task(self._read_forever()), asyncio.create_task(self._pulse_forever())]

    async def stop(self) -> None:
        running = [*self._tasks, *self._healing.values(), *self._pages.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @asynccontextmanager
    async def channel(self, account_id: str) -> AsyncIterator[Channel]:
        """The account's channel, made for its first subscriber and gone with its last."""
        found = self._channels.setdefault(account_id, Channel(account_id, self.epoch))
        found.subscribers += 1
        self._watched.set()
        try:
            yield found
        finally:
            found.subscribers -= 1
            if found.subscribers == 0 and self._channels.get(account_id) is found:
                del self._channels[account_id]
                if not self._channels:
                    self._watched.clear()

    async def head(self, channel: Channel, place: int | None) -> int:
        """Where the log ends, read now; or, for a cursor at `place` that is no news to the channel, what it knows.

        A crowd that comes back asks with cursors, and thus asks the database once.
        """
        if place is None or not channel.is_ready or place > channel.head:
            head = await self._heads.of(channel.account_id)
            self._compare(channel, head)
            return head
        return channel.head

    async def page(self, channel: Channel, after: int) -> Sequence[Frame]:
        """What follows `after`, for a cursor that the ring has left behind."""
        if after < channel.head - RING:
            return await self._share((channel.account_id, after), lambda: self._read_page(channel.account_id, after))
        # Not far: whoever comes first fills the ring backwards, a little further than for himself, for all others.
        async with channel.filling:
            found = channel.after(after, PAGE)
            if found is None:
                begin = max(0, after - _AROUND)
                past = await self._share((channel.account_id, begin), lambda: self._read_past(channel, begin))
                channel.reach_back(begin, past)
                found = fitting([one for one in past if one.seq > after])
        return found

    async def _share(
        self, name: tuple[str, int], read: Callable[[], Coroutine[None, None, list[Frame]]]
    ) -> list[Frame]:
        """Those who ask for the same share one read, and it goes on though one of them leaves."""
        if name not in self._pages:
            task = self._pages[name] = asyncio.create_task(read())
            task.add_done_callback(lambda _: self._pages.pop(name, None))
        return await asyncio.shield(self._pages[name])

    async def _read_past(self, channel: Channel, begin: int) -> list[Frame]:
        """Everything after `begin` that the channel had passed when this began."""
        end, found = channel.head, list[Frame]()
        while more := await self._read_page(channel.account_id, found[-1].seq if found else begin, _FILL):
            found += more
            if found[-1].seq >= end:
                break
        return found

    async def _read_page(self, account_id: str, after: int, most_bytes: int = WRITE) -> list[Frame]:
        RING_MISSES.inc()
        async with self._reads, self._at_once.connect() as connection:
            lines = await log.stretch(connection, account_id, after, most=PAGE, most_bytes=most_bytes)
        return [frame(self.epoch, line.seq, line.type, line.body) for line in lines]

    def _compare(self, channel: Channel, head: int) -> None:
        """Hold the channel against the database: a new one begins there, one that fell behind is healed."""
        if not channel.is_ready:
            channel.start(head)
        elif head > channel.head:
            self._heal(channel, head)

    def _heal(self, channel: Channel, head: int) -> None:
        if channel.account_id not in self._healing:
            HEALS.inc()
            task = self._healing[channel.account_id] = asyncio.create_task(self._fill(channel, head))
            task.add_done_callback(lambda _: self._healing.pop(channel.account_id, None))

    async def _fill(self, channel: Channel, head: int) -> None:
        """Read what is missing up to `head`. An outage ends the attempt; the next pulse begins another."""
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            while channel.head < head:
                missing = await self._read_page(channel.account_id, channel.head)
                for fresh in missing:
                    if not channel.push(fresh):
                        channel.start(fresh.seq - 1)  # pruned in between: cursors find the gap and say so
                        channel.push(fresh)
                if not missing:
                    channel.start(max(head, channel.head))  # all of it pruned
                    channel.wake()

    async def _read_forever(self) -> None:
        client = wire.connect(self._redis_url, timeout_s=_SILENCE_S)
        last: bytes | None = None
        while True:
            try:
                last = await self._read(client, last)
                self.is_reading = True
            except Exception as error:  # noqa: BLE001 - whatever it is, a reader that dies in silence is worse
                if self.is_reading:
                    _log.warning("relay.reader_lost", error=repr(error))
                self.is_reading = False
                await asyncio.sleep(0.2)

    async def _read(self, client: "Redis", last: bytes | None) -> bytes:
        """Pass on what came after `last`, waiting for it a while; the answer is the new `last`."""
        if last is None or not await self._is_watched():
            return await wire.newest(client)
        entries = await wire.read(client, last, _BLOCK_MS)
        for id_, fields in entries:
            try:
                self._pass_on(fields)
            except (KeyError, ValueError) as error:  # nothing of ours writes such an entry
                _log.warning("relay.strange_entry", id=id_.decode(), error=repr(error))
        return entries[-1][0] if entries else last

    async def _is_watched(self) -> bool:
        """Whether anybody listens, waiting a while for somebody who does.

        While nobody does, the place in the stream only moves on once a second. It is thus always from before the
        first channel's head was read, and nothing can fall between the two.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_S):
                await self._watched.wait()
        return self._watched.is_set()

    def _pass_on(self, fields: "dict[bytes, bytes]") -> None:
        channel = self._channels.get(fields[b"a"].decode())
        if channel is None:
            return
        entry = wire.decode(fields)
        for seq, (type_, body) in enumerate(zip(entry.types, entry.bodies, strict=True), entry.first):
            if not channel.push(frame(self.epoch, seq, type_, body)):
                self._heal(channel, seq)
                return

    async def _pulse_forever(self) -> None:
        while True:
            await asyncio.sleep(self._pulse_s if self.is_reading else self._pulse_s / 8)
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                await self._check_epoch()
                watched = list(self._channels.values())
                for start in range(0, len(watched), _HEADS_AT_ONCE):
                    await self._compare_all(watched[start : start + _HEADS_AT_ONCE])

    async def _check_epoch(self) -> None:
        """Notice a standby that took over, or a renewed epoch: what is open then is of a log that is no more."""
        async with self._engine.begin() as connection:
            found = await epoch.known(connection) or await epoch.current(connection)
        if found == self.epoch:
            return
        _log.warning("relay.epoch_changed", before=self.epoch, now=found)
        self.epoch = found
        gone, self._channels = self._channels, {}
        self._watched.clear()
        for channel in gone.values():
            channel.wake()

    async def _compare_all(self, channels: Sequence[Channel]) -> None:
        async with self._at_once.connect() as connection:
            heads = await log.heads(connection, [channel.account_id for channel in channels])
        for channel in channels:
            if channel.is_ready:
                self._compare(channel, heads.get(channel.account_id, 0))
