"""One relay a process: reads the Redis stream once and feeds the channel of every account that has subscribers.

Delivery does not depend on the stream being complete or true. Each entry is compared with the log in the database, by
the log's hash chain and one query for all entries that arrived together. A jump in `seq` is filled from the database
before anything is delivered, and every few seconds the heads of the watched logs are compared with the database, so
that a dead reader or a lost tail is noticed even when nothing more arrives.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from operator import attrgetter

import structlog
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import epoch, event_log, signals
from db.engine import autocommit
from signalhub import redis_clients
from signalhub.concurrency import Batcher, SingleFlight, finish_or_abandon
from signalhub.streams import redis_stream
from signalhub.streams.account_channel import (
    MAX_WRITE_BYTES,
    RING_FRAMES,
    Channel,
    Frame,
    encode_frame,
    limit_to_write_size,
)
from signalhub.streams.metrics import BACKFILLS, REFUSED_ENTRIES, RING_MISSES
from signalhub.streams.redis_state import RedisKeyLoader, RedisMonitor
from signalhub.streams.redis_stream import StreamEntry

MAX_PAGE_EVENTS = 128
_PREPEND_MARGIN_EVENTS = 64
_MAX_PREPEND_PAGE_BYTES = 4 * MAX_WRITE_BYTES
"""Bytes of a page that fills a ring: it is held once for all subscribers, so that one read should do."""

_BLOCK_MS = 1000
# A connection that is silent for this long, though asked every second, is dead without having been closed.
_READ_TIMEOUT_S = 3.0
_READ_RETRY_DELAY_S = 0.2
_CANCEL_RETRY_S = 0.1
_MAX_HEADS_PER_QUERY = 1000
_HEAD_READ_TIMEOUT_S = 1.0
_IDLE_POLL_INTERVAL_S = 1.0
_EPOCH_CHECK_INTERVAL_S = 1.0
_EPOCH_CHECK_TIMEOUT_S = 1.0
_MAX_DATABASE_READS = 4
_LATE_ENTRY_S = 1.0
_OUTAGE_CHECK_FACTOR = 8

_log = structlog.get_logger()


class SequenceHeadLoader:
    """Reads where logs end, in one query for all that ask at the same time.

    Two thousand streams that come back after a restart cost a handful of queries.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommit(engine)
        self._batcher = Batcher[str, int](self.load_batch, max_batch=_MAX_HEADS_PER_QUERY)

    async def load(self, account_id: str) -> int:
        """Return the last `seq` of the log, read after this call. Raises the database's error, or TimeoutError."""
        return await self._batcher.add(account_id)

    async def load_batch(self, account_ids: Sequence[str]) -> Sequence[int]:
        # A server that hangs must not hold up those who ask next: their connection may lead to another one.
        heads = await finish_or_abandon(_HEAD_READ_TIMEOUT_S, self._read_heads(list(set(account_ids))))
        return [heads.get(account_id, 0) for account_id in account_ids]

    async def _read_heads(self, account_ids: Sequence[str]) -> dict[str, int]:
        async with self._engine.connect() as connection:
            return await event_log.get_heads(connection, account_ids)


class Relay:
    """Compares heads every `head_check_interval_s`, and eight times as often while Redis cannot be read or written."""

    def __init__(
        self,
        engine: AsyncEngine,
        redis_url: str,
        *,
        head_check_interval_s: float = 2.0,
        redis_monitor: RedisMonitor | None = None,
    ) -> None:
        self._engine, self._redis_url, self._redis_monitor = engine, redis_url, redis_monitor
        self._head_check_interval_s = head_check_interval_s
        self._autocommit_engine = autocommit(engine)
        self._key_loader = RedisKeyLoader(engine)
        self._head_loader = SequenceHeadLoader(engine)
        self._channels: dict[str, Channel] = {}
        self._has_channels = asyncio.Event()
        self._backfills: dict[str, asyncio.Task[None]] = {}
        self._page_reads = SingleFlight[tuple[str, int], list[Frame]]()
        # Subscribers that catch up must not take every database connection from ingest.
        self._read_semaphore = asyncio.Semaphore(_MAX_DATABASE_READS)
        self._tasks: list[asyncio.Task[None]] = []
        self.epoch = ""
        self.is_reading = False

    @property
    def is_started(self) -> bool:
        return bool(self._tasks)

    async def start(self) -> None:
        """Read the epoch and start to read the stream. Raises the database's error, and may then be called again."""
        async with self._engine.connect() as connection:
            self.epoch = await epoch.get_or_create(connection)
            await connection.commit()
        loops = (self._consume_stream(), self._check_heads_forever(), self._check_epoch_forever())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        running = {*self._tasks, *self._backfills.values()}
        await self._page_reads.cancel()
        while running:
            # More than once: a cancellation that meets the Redis client while it connects can get lost in there.
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_CANCEL_RETRY_S)

    @asynccontextmanager
    async def open_channel(self, account_id: str) -> AsyncIterator[Channel]:
        """Yield the account's channel, which lives from its first subscriber to its last."""
        channel = self._channels.setdefault(account_id, Channel(account_id, self.epoch))
        channel.subscriber_count += 1
        self._has_channels.set()
        try:
            yield channel
        finally:
            channel.subscriber_count -= 1
            # A channel of an older epoch may have been replaced already.
            if channel.subscriber_count == 0 and self._channels.get(account_id) is channel:
                del self._channels[account_id]
                if not self._channels:
                    self._has_channels.clear()

    async def read_head(self, channel: Channel, cursor_seq: int | None) -> int:
        """Return the head of the log, read from the database unless the channel is ahead of the cursor.

        Of many subscribers that come back with cursors at the same time, the first reads the database for all.
        """
        if cursor_seq is None or not channel.is_ready or cursor_seq > channel.head:
            head = await self._head_loader.load(channel.account_id)
            self._reconcile_head(channel, head)
            return head
        return channel.head

    async def read_page(self, channel: Channel, after_seq: int) -> Sequence[Frame]:
        """Return what follows `after_seq`, for a cursor behind the ring."""
        account_id = channel.account_id
        if after_seq < channel.head - RING_FRAMES:
            return await self._page_reads.run((account_id, after_seq), lambda: self._query_page(account_id, after_seq))
        # Near the ring: the first subscriber extends it backwards for all, a little further than its own cursor.
        async with channel.prepend_lock:
            frames = channel.frames_after(after_seq, MAX_PAGE_EVENTS)
            if frames is None:
                start_seq = max(0, after_seq - _PREPEND_MARGIN_EVENTS)
                # Shared and shielded as well: it goes on though the subscriber that began it leaves.
                past = await self._page_reads.run(
                    (account_id, start_seq), lambda: self._read_to_head(channel, start_seq)
                )
                channel.prepend(start_seq, past)
                frames = limit_to_write_size([frame for frame in past if frame.seq > after_seq])
        return frames

    async def load_sources(self, channel: Channel, frames: Sequence[Frame]) -> None:
        """Load the sources of the signals in `frames`, for filters by source. Raises the database's error."""
        async with channel.sources_lock:  # subscribers with the same filter need the same ones
            signal_ids = channel.sources.list_unknown_signals(frame.body for frame in frames)
            if not signal_ids:
                return
            async with self._read_semaphore, self._autocommit_engine.connect() as connection:
                sources = await signals.get_sources(connection, channel.account_id, signal_ids)
        for signal_id in signal_ids:
            channel.sources.add(signal_id, sources.get(signal_id, ""))  # a signal that is pruned has no source

    async def _read_to_head(self, channel: Channel, after_seq: int) -> list[Frame]:
        """Return everything after `after_seq` up to the head that the channel has now."""
        head, frames = channel.head, list[Frame]()
        while page := await self._query_page(
            channel.account_id, frames[-1].seq if frames else after_seq, _MAX_PREPEND_PAGE_BYTES
        ):
            frames += page
            if frames[-1].seq >= head:
                break
        return frames

    async def _query_page(self, account_id: str, after_seq: int, max_bytes: int = MAX_WRITE_BYTES) -> list[Frame]:
        RING_MISSES.inc()
        async with self._read_semaphore, self._autocommit_engine.connect() as connection:
            events = await event_log.page_by_bytes(
                connection, account_id, after_seq, max_events=MAX_PAGE_EVENTS, max_bytes=max_bytes
            )
        return [encode_frame(self.epoch, event.seq, event.type, event.body) for event in events]

    def _reconcile_head(self, channel: Channel, head: int) -> None:
        """Start a new channel at the database's head; backfill one that is behind it."""
        if not channel.is_ready:
            channel.start(head)
            head = max(channel.early_seqs, default=head)  # committed while the head was being read
        if head > channel.head:
            self._start_backfill(channel, head)

    def _start_backfill(self, channel: Channel, head: int) -> None:
        if channel.account_id not in self._backfills:
            task = self._backfills[channel.account_id] = asyncio.create_task(self._backfill(channel, head))
            task.add_done_callback(lambda _: self._backfills.pop(channel.account_id, None))

    async def _backfill(self, channel: Channel, head: int) -> None:
        """Read what is missing up to `head`. An outage ends the attempt; the next head check starts another."""
        backfilled_seqs = set[int]()
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            # Further, if the stream has brought events by then that do not follow the ones read here.
            while channel.head < (target := max(head, max(channel.early_seqs, default=0))):
                frames = await self._query_page(channel.account_id, channel.head)
                for frame in frames:
                    channel.push_backfilled(frame)
                backfilled_seqs.update(frame.seq for frame in frames)
                if not frames:
                    channel.start(max(target, channel.head))  # all of it is pruned
                    channel.schedule_notify()
        channel.early_seqs = {seq for seq in channel.early_seqs if seq > channel.head}
        asyncio.get_running_loop().call_later(_LATE_ENTRY_S, self.count_backfill, channel, backfilled_seqs)

    def count_backfill(self, channel: Channel, seqs: set[int]) -> None:
        """Count a backfill of `seqs`, unless the stream brought them all before it or a moment later."""
        if seqs & channel.backfilled_seqs:
            BACKFILLS.inc()
            channel.backfilled_seqs -= seqs

    async def _consume_stream(self) -> None:
        client = redis_clients.connect_async(self._redis_url, timeout_s=_READ_TIMEOUT_S)
        last_id: bytes | None = None
        while True:
            try:
                last_id = await self._consume_batch(client, last_id)
                self.is_reading = True
            except Exception as error:  # noqa: BLE001 - a reader that dies of an unforeseen error would stop delivery
                if self.is_reading:
                    _log.warning("relay.reader_lost", error=repr(error))
                self.is_reading = False
                await asyncio.sleep(_READ_RETRY_DELAY_S)

    async def _consume_batch(self, client: "Redis", last_id: bytes | None) -> bytes:
        """Push the entries after `last_id`, waiting for them a while, and return the new last id."""
        keys = self._key_loader.keys or await self._key_loader.load()
        if last_id is None or not await self._wait_for_channels():
            return await redis_stream.read_last_id(client, keys.events)
        entries = await redis_stream.read_entries(client, keys.events, last_id, _BLOCK_MS)
        decoded = [entry for entry_id, fields in entries if (entry := self._decode_entry(entry_id, fields)) is not None]
        await self._push_entries([entry for entry in decoded if self._has_new_events(entry)])
        return entries[-1][0] if entries else last_id

    def find_delivery_time(self, account_id: str, seq: int) -> datetime | None:
        """Return when a stream of this process was first sent the event; None if that is not known any more."""
        channel = self._channels.get(account_id)
        return None if channel is None else channel.find_delivery_time(seq)

    async def _wait_for_channels(self) -> bool:
        """Return whether any account has a subscriber, after waiting up to a second for the first one.

        While there is none, the position in the stream only moves to its end once a second. It is thus always older
        than the first channel's head, and no event can fall between the two.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_POLL_INTERVAL_S):
                await self._has_channels.wait()
        return self._has_channels.is_set()

    def _decode_entry(self, entry_id: bytes, fields: "dict[bytes, bytes]") -> StreamEntry | None:
        """Return the entry of an account that has subscribers, None for any other."""
        try:
            return redis_stream.decode_entry(fields) if fields[b"a"].decode() in self._channels else None
        except (KeyError, ValueError) as error:  # not written by this service
            REFUSED_ENTRIES.inc()
            _log.warning("relay.undecodable_entry", entry_id=entry_id.decode(), error=repr(error))
            return None

    def _has_new_events(self, entry: StreamEntry) -> bool:
        """Return whether the entry has events that are not known yet."""
        channel = self._channels[entry.account_id]
        if entry.last_seq <= channel.head:
            channel.note_streamed(entry.first_seq, entry.last_seq)
            return False
        return True

    async def _push_entries(self, entries: Sequence[StreamEntry]) -> None:
        """Push those of the entries that are in the database's log.

        Sorted, because processes that commit for the same account at the same time publish in any order.
        """
        if not entries:
            return
        hashes = await self._load_hashes([(entry.account_id, entry.first_seq, entry.last_seq) for entry in entries])
        true_entries = [entry for entry, run_hashes in zip(entries, hashes, strict=True) if entry.matches(run_hashes)]
        if len(true_entries) < len(entries):
            REFUSED_ENTRIES.inc(len(entries) - len(true_entries))
            _log.warning("relay.entries_refused", entries=len(entries) - len(true_entries))
        for entry in sorted(true_entries, key=attrgetter("first_seq")):
            if (channel := self._channels.get(entry.account_id)) is not None:
                self._push_entry(channel, entry)

    async def _load_hashes(self, runs: Sequence[tuple[str, int, int]]) -> Sequence[event_log.RunHashes | None]:
        """Read the hashes around each run. Waits for the database: without it there is nothing to compare with."""
        while True:
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                async with self._autocommit_engine.connect() as connection:
                    return await event_log.get_run_hashes(connection, runs)
            await asyncio.sleep(_READ_RETRY_DELAY_S)

    def _push_entry(self, channel: Channel, entry: StreamEntry) -> None:
        for seq, (type_, body) in enumerate(zip(entry.types, entry.bodies, strict=True), entry.first_seq):
            if not channel.push(encode_frame(self.epoch, seq, type_, body)):
                channel.note_streamed(seq, entry.last_seq)
                if channel.is_ready:
                    self._start_backfill(channel, entry.last_seq)
                return
        channel.note_streamed(entry.first_seq, entry.last_seq)

    async def _check_heads_forever(self) -> None:
        while True:
            is_live = self.is_reading and (self._redis_monitor is None or self._redis_monitor.is_writable)
            await asyncio.sleep(self._head_check_interval_s / (1 if is_live else _OUTAGE_CHECK_FACTOR))
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                channels = list(self._channels.values())
                for start in range(0, len(channels), _MAX_HEADS_PER_QUERY):
                    await self._reconcile_heads(channels[start : start + _MAX_HEADS_PER_QUERY])

    async def _check_epoch_forever(self) -> None:
        while True:
            await asyncio.sleep(_EPOCH_CHECK_INTERVAL_S)
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                # A server that was replaced may hang, and the next connection leads to the new one.
                await finish_or_abandon(_EPOCH_CHECK_TIMEOUT_S, self._check_epoch())

    async def _check_epoch(self) -> None:
        """Notice a promoted standby or a renewed epoch: the open channels are then of a log that is gone."""
        async with self._engine.begin() as connection:
            current = await epoch.get_current(connection) or await epoch.get_or_create(connection)
        if current == self.epoch:
            return
        _log.warning("relay.epoch_changed", old=self.epoch, new=current)
        self.epoch = current
        outdated, self._channels = self._channels, {}
        self._has_channels.clear()
        for channel in outdated.values():
            channel.schedule_notify()  # each subscriber compares epochs and ends

    async def _reconcile_heads(self, channels: Sequence[Channel]) -> None:
        async with self._autocommit_engine.connect() as connection:
            heads = await event_log.get_heads(connection, [channel.account_id for channel in channels])
        for channel in channels:
            if channel.is_ready:
                self._reconcile_head(channel, heads.get(channel.account_id, 0))
