"""The Redis stream of events: one for all accounts, with an entry for each run of consecutive events of an account.

The stream makes delivery fast and nothing else. It may lose, repeat or reorder entries, and others may write to it: the
relay compares each entry with the database before it delivers the events, and backfills.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.typing import EncodableT

from db.event_log import RunHashes
from signalhub.domain.events import Event, chain_hash

MAX_EVENTS_PER_ENTRY: Final = 64
MAX_STREAM_ENTRIES: Final = 50_000
"""Entries kept, approximately. A relay that is further behind reads the database."""

_MAX_ENTRIES_PER_READ: Final = 512
_MAX_SEQ: Final = 2**62

_MAX_CLOCK_SKEW_MS: Final = 1_000
_MAX_PUBLISH_DELAY_MS: Final = 30_000
_MAX_SEARCHED_PAGES: Final = 8


class StreamEntry(msgspec.Struct, frozen=True):
    """Consecutive events of an account, numbered from `first_seq` without a gap."""

    account_id: str
    first_seq: int
    types: list[str]
    bodies: list[bytes]

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.bodies) - 1

    def matches(self, hashes: RunHashes | None) -> bool:
        """Return whether these are the events of the log, given its hashes around them.

        The hash chain covers the bodies, and each body begins with its number and its type.
        """
        if hashes is None or hashes.previous is None:
            return False
        digest = hashes.previous
        for seq, (type_, body) in enumerate(zip(self.types, self.bodies, strict=True), self.first_seq):
            if not body.startswith(b'{"seq":%d,"type":"%b",' % (seq, type_.encode())):
                return False
            digest = chain_hash(digest, body)
        return digest == hashes.last


async def publish(client: "Redis", stream_key: str, events: Sequence[Event]) -> None:
    """Append `events` in one round trip. Raises redis.RedisError or OSError."""
    if not events:
        return
    pipeline = client.pipeline(transaction=False)
    add_to_pipeline(pipeline, stream_key, events)
    await pipeline.execute()


def add_to_pipeline(pipeline: "Pipeline", stream_key: str, events: Sequence[Event]) -> None:
    """Append `events` along with other commands of the same round trip."""
    for run in split_into_runs(events):
        pipeline.xadd(stream_key, encode_entry(run), maxlen=MAX_STREAM_ENTRIES, approximate=True)


def split_into_runs(events: Sequence[Event]) -> list[list[Event]]:
    """Group the events by account, with a new group wherever `seq` jumps or an entry is full."""
    open_runs: dict[str, list[Event]] = {}
    runs: list[list[Event]] = []
    for event in events:
        run = open_runs.get(event.account_id)
        if run is None or run[-1].seq + 1 != event.seq or len(run) >= MAX_EVENTS_PER_ENTRY:
            run = open_runs[event.account_id] = []
            runs.append(run)
        run.append(event)
    return runs


async def read_last_id(client: "Redis", stream_key: str) -> bytes:
    """Return the id of the last entry, to read on from."""
    entries: Any = await client.xrevrange(stream_key, count=1)
    return entries[0][0] if entries else b"0-0"


async def read_entries(
    client: "Redis", stream_key: str, after_id: bytes, block_ms: int
) -> Sequence[tuple[bytes, dict[bytes, bytes]]]:
    """Return the entries after `after_id`, waiting up to `block_ms` for one."""
    streams: Any = await client.xread({stream_key: after_id}, count=_MAX_ENTRIES_PER_READ, block=block_ms)
    return streams[0][1] if streams else ()


async def find_publish_time(
    client: "Redis", stream_key: str, account_id: str, seq: int, *, committed_at: datetime
) -> datetime | None:
    """Return when Redis took this event, on its clock; None if the entry is not in the stream any more.

    Only entries of the seconds around `committed_at` are read, at most a few thousand. Raises redis.RedisError or
    OSError.
    """
    committed_ms = int(committed_at.timestamp() * 1000)
    first_id: bytes | str = str(committed_ms - _MAX_CLOCK_SKEW_MS)
    for _ in range(_MAX_SEARCHED_PAGES):
        last_id = committed_ms + _MAX_PUBLISH_DELAY_MS
        entries: Any = await client.xrange(stream_key, first_id, last_id, count=_MAX_ENTRIES_PER_READ)
        for id_, fields in entries:
            with suppress(KeyError, ValueError):  # not written by this service
                first_seq, event_count = int(fields[b"s"]), fields[b"t"].count(b",") + 1
                if fields[b"a"].decode() == account_id and first_seq <= seq < first_seq + event_count:
                    return datetime.fromtimestamp(int(id_.partition(b"-")[0]) / 1000, UTC)
        if len(entries) < _MAX_ENTRIES_PER_READ:
            break
        first_id = b"(" + entries[-1][0]
    return None


def encode_entry(run: Sequence[Event]) -> dict[EncodableT, EncodableT]:
    # JSON as msgspec writes it has no line break, so a line break can separate the bodies.
    return {
        "a": run[0].account_id,
        "s": run[0].seq,
        "t": ",".join(event.type for event in run),
        "b": b"\n".join(event.body for event in run),
    }


def decode_entry(fields: Mapping[bytes, bytes]) -> StreamEntry:
    """Decode an entry. Raises KeyError or ValueError for one of another form."""
    types, bodies, first_seq = fields[b"t"].decode().split(","), fields[b"b"].split(b"\n"), int(fields[b"s"])
    if len(types) != len(bodies) or not 0 < first_seq <= _MAX_SEQ:
        raise ValueError("types, bodies and number do not fit together")
    return StreamEntry(fields[b"a"].decode(), first_seq, types, bodies)
