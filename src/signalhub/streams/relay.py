"""Where logs end, as the database has it - asked once for everybody who asks at the same time.

Two thousand streams that come back after a restart cost a handful of queries, and yet each gets an answer that is no
older than its question.


One relay a process: reads the Redis stream once and feeds every watched account's channel.

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

from db import epoch, event_log
from db.engine import autocommit
from signalhub.streams import redis_stream
from signalhub.streams.channel import MAX_WRITE_BYTES, RING_FRAMES, Channel, Frame, encode_frame, limit_to_write_size
from signalhub.streams.metrics import BACKFILLS, RING_MISSES


class SequenceHeadLoader:
    def __init__(self, engine: AsyncEngine) -> None:
        self._autocommit_engine = autocommit(engine)
        self._pending_requests: list[tuple[str, asyncio.Future[int]]] = []
        self._load_task: asyncio.Task[None] | None = None

    async def load(self, account_id: str) -> int:
        """The last `seq` of the account's log, read after this was called. Raises what the database raises."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending_requests.append((account_id, future))
        if self._load_task is None:
            self._load_task = asyncio.create_task(self._load_pending())
        return await future

    async def _load_pending(self) -> None:
        try:
            while self._pending_requests:
                asked, self._pending_requests = self._pending_requests, []
                await self._load_batch(asked)
        finally:
            self._load_task = None

    async def _load_batch(self, requests: list[tuple[str, asyncio.Future[int]]]) -> None:
        try:
            async with self._autocommit_engine.connect() as connection:
                heads = await event_log.get_heads(connection, list({account_id for account_id, _ in requests}))
        except asyncio.CancelledError:  # a driver may give up its own waits so
            _fail_requests(requests, TimeoutError())
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are to be told
            _fail_requests(requests, error)
        else:
            for account_id, future in requests:
                if not future.done():
                    future.set_result(heads.get(account_id, 0))


def _fail_requests(requests: list[tuple[str, asyncio.Future[int]]], error: Exception) -> None:
    for _, future in requests:
        if not future.done():
            future.set_exception(error)


MAX_PAGE_EVENTS = 128
_PREPEND_MARGIN_EVENTS = 64
_MAX_PREPEND_PAGE_BYTES = 4 * MAX_WRITE_BYTES
"""Bytes of a page that fills a ring: it is held once for all, and one look should do."""

_BLOCK_MS = 1000
# A connection that says nothing for this long, though asked every second, is dead without having said so.
_READ_TIMEOUT_S = 3.0
_MAX_HEADS_PER_QUERY = 1000
_IDLE_POLL_INTERVAL_S = 1.0

_log = structlog.get_logger()


class Relay:
    """`pulse_s` is the time between two comparisons of heads; while the reader is down they come far oftener."""

    def __init__(self, engine: AsyncEngine, redis_url: str, *, head_check_interval_s: float = 2.0) -> None:
        self._engine, self._redis_url, self._head_check_interval_s = engine, redis_url, head_check_interval_s
        self._autocommit_engine = autocommit(engine)
        self._head_loader = SequenceHeadLoader(engine)
        self._channels: dict[str, Channel] = {}
        self._has_channels = asyncio.Event()
        self._backfills: dict[str, asyncio.Task[None]] = {}
        self._page_reads: dict[tuple[str, int], asyncio.Task[list[Frame]]] = {}
        # Catching up must not take every connection from those who accept signals.
        self._read_semaphore = asyncio.Semaphore(4)
        self._tasks: list[asyncio.Task[None]] = []
        self.epoch = ""
        self.is_reading = False

    async def start(self) -> None:
        async with self._engine.connect() as connection:
            self.epoch = await epoch.get_or_create(connection)
            await connection.commit()
        self._tasks = [asyncio.create_task(self._consume_stream()), asyncio.create_task(self._check_heads_forever())]

    async def stop(self) -> None:
        running = [*self._tasks, *self._backfills.values(), *self._page_reads.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @asynccontextmanager
    async def open_channel(self, account_id: str) -> AsyncIterator[Channel]:
        """The account's channel, made for its first subscriber and gone with its last."""
        found = self._channels.setdefault(account_id, Channel(account_id, self.epoch))
        found.subscriber_count += 1
        self._has_channels.set()
        try:
            yield found
        finally:
            found.subscriber_count -= 1
            if found.subscriber_count == 0 and self._channels.get(account_id) is found:
                del self._channels[account_id]
                if not self._channels:
                    self._has_channels.clear()

    async def read_head(self, channel: Channel, cursor_seq: int | None) -> int:
        """Where the log ends, read now; or, for a cursor at `place` that is no news to the channel, what it knows.

        A crowd that comes back asks with cursors, and thus asks the database once.
        """
        if cursor_seq is None or not channel.is_ready or cursor_seq > channel.head:
            head = await self._head_loader.load(channel.account_id)
            self._reconcile_head(channel, head)
            return head
        return channel.head

    async def read_page(self, channel: Channel, after_seq: int) -> Sequence[Frame]:
        """What follows `after`, for a cursor that the ring has left behind."""
        if after_seq < channel.head - RING_FRAMES:
            return await self._read_shared(
                (channel.account_id, after_seq), lambda: self._query_page(channel.account_id, after_seq)
            )
        # Not far: whoever comes first fills the ring backwards, a little further than for himself, for all others.
        async with channel.prepend_lock:
            found = channel.frames_after(after_seq, MAX_PAGE_EVENTS)
            if found is None:
                begin = max(0, after_seq - _PREPEND_MARGIN_EVENTS)
                past = await self._read_shared((channel.account_id, begin), lambda: self._read_to_head(channel, begin))
                channel.prepend(begin, past)
                found = limit_to_write_size([one for one in past if one.seq > after_seq])
        return found

    async def _read_shared(
        self, key: tuple[str, int], read: Callable[[], Coroutine[None, None, list[Frame]]]
    ) -> list[Frame]:
        """Those who ask for the same share one read, and it goes on though one of them leaves."""
        if key not in self._page_reads:
            task = self._page_reads[key] = asyncio.create_task(read())
            task.add_done_callback(lambda _: self._page_reads.pop(key, None))
        return await asyncio.shield(self._page_reads[key])

    async def _read_to_head(self, channel: Channel, after_seq: int) -> list[Frame]:
        """Everything after `begin` that the channel had passed when this began."""
        end, found = channel.head, list[Frame]()
        while more := await self._query_page(
            channel.account_id, found[-1].seq if found else after_seq, _MAX_PREPEND_PAGE_BYTES
        ):
            found += more
            if found[-1].seq >= end:
                break
        return found

    async def _query_page(self, account_id: str, after_seq: int, max_bytes: int = MAX_WRITE_BYTES) -> list[Frame]:
        RING_MISSES.inc()
        async with self._read_semaphore, self._autocommit_engine.connect() as connection:
            lines = await event_log.page_by_bytes(
                connection, account_id, after_seq, max_events=MAX_PAGE_EVENTS, max_bytes=max_bytes
            )
        return [encode_frame(self.epoch, line.seq, line.type, line.body) for line in lines]

    def _reconcile_head(self, channel: Channel, head: int) -> None:
        """Hold the channel against the database: a new one begins there, one that fell behind is healed."""
        if not channel.is_ready:
            channel.start(head)
        elif head > channel.head:
            self._start_backfill(channel, head)

    def _start_backfill(self, channel: Channel, head: int) -> None:
        if channel.account_id not in self._backfills:
            BACKFILLS.inc()
            task = self._backfills[channel.account_id] = asyncio.create_task(self._backfill(channel, head))
            task.add_done_callback(lambda _: self._backfills.pop(channel.account_id, None))

    async def _backfill(self, channel: Channel, head: int) -> None:
        """Read what is missing up to `head`. An outage ends the attempt; the next pulse begins another."""
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            while channel.head < head:
                missing = await self._query_page(channel.account_id, channel.head)
                for fresh in missing:
                    if not channel.push(fresh):
                        channel.start(fresh.seq - 1)  # pruned in between: cursors find the gap and say so
                        channel.push(fresh)
                if not missing:
                    channel.start(max(head, channel.head))  # all of it pruned
                    channel.schedule_notify()

    async def _consume_stream(self) -> None:
        client = redis_stream.connect(self._redis_url, timeout_s=_READ_TIMEOUT_S)
        last: bytes | None = None
        while True:
            try:
                last = await self._consume_batch(client, last)
                self.is_reading = True
            except Exception as error:  # noqa: BLE001 - whatever it is, a reader that dies in silence is worse
                if self.is_reading:
                    _log.warning("relay.reader_lost", error=repr(error))
                self.is_reading = False
                await asyncio.sleep(0.2)

    async def _consume_batch(self, client: "Redis", last_id: bytes | None) -> bytes:
        """Pass on what came after `last`, waiting for it a while; the answer is the new `last`."""
        if last_id is None or not await self._wait_for_channels():
            return await redis_stream.read_last_id(client)
        entries = await redis_stream.read_entries(client, last_id, _BLOCK_MS)
        for id_, fields in entries:
            try:
                self._push_entry(fields)
            except (KeyError, ValueError) as error:  # nothing of ours writes such an entry
                _log.warning("relay.undecodable_entry", id=id_.decode(), error=repr(error))
        return entries[-1][0] if entries else last_id

    async def _wait_for_channels(self) -> bool:
        """Whether anybody listens, waiting a while for somebody who does.

        While nobody does, the place in the stream only moves on once a second. It is thus always from before the
        first channel's head was read, and nothing can fall between the two.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_POLL_INTERVAL_S):
                await self._has_channels.wait()
        return self._has_channels.is_set()

    def _push_entry(self, fields: "dict[bytes, bytes]") -> None:
        channel = self._channels.get(fields[b"a"].decode())
        if channel is None:
            return
        entry = redis_stream.decode_entry(fields)
        for seq, (type_, body) in enumerate(zip(entry.types, entry.bodies, strict=True), entry.first_seq):
            if not channel.push(encode_frame(self.epoch, seq, type_, body)):
                self._start_backfill(channel, seq)
                return

    async def _check_heads_forever(self) -> None:
        while True:
            await asyncio.sleep(self._head_check_interval_s if self.is_reading else self._head_check_interval_s / 8)
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                await self._check_epoch()
                watched = list(self._channels.values())
                for start in range(0, len(watched), _MAX_HEADS_PER_QUERY):
                    await self._reconcile_heads(watched[start : start + _MAX_HEADS_PER_QUERY])

    async def _check_epoch(self) -> None:
        """Notice a standby that took over, or a renewed epoch: what is open then is of a log that is no more."""
        async with self._engine.begin() as connection:
            found = await epoch.get_current(connection) or await epoch.get_or_create(connection)
        if found == self.epoch:
            return
        _log.warning("relay.epoch_changed", before=self.epoch, now=found)
        self.epoch = found
        gone, self._channels = self._channels, {}
        self._has_channels.clear()
        for channel in gone.values():
            channel.schedule_notify()

    async def _reconcile_heads(self, channels: Sequence[Channel]) -> None:
        async with self._autocommit_engine.connect() as connection:
            heads = await event_log.get_heads(connection, [channel.account_id for channel in channels])
        for channel in channels:
            if channel.is_ready:
                self._reconcile_head(channel, heads.get(channel.account_id, 0))
