"""The Redis stream of events: one for all accounts, with an entry for each run of consecutive events of an account.

The stream makes delivery fast and nothing else. It may lose, repeat or reorder entries: the relay compares with the
database and backfills.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.typing import EncodableT

from signalhub.domain.events import Event

STREAM_KEY: Final = "signalhub:events"
MAX_EVENTS_PER_ENTRY: Final = 64
MAX_STREAM_ENTRIES: Final = 50_000
"""Entries kept, approximately. A relay that is further behind reads the database."""

_MAX_ENTRIES_PER_READ: Final = 512


class StreamEntry(msgspec.Struct, frozen=True):
    """Consecutive events of an account, numbered from `first_seq` without a gap."""

    account_id: str
    first_seq: int
    types: list[str]
    bodies: list[bytes]


def connect(url: str, *, timeout_s: float | None) -> "Redis":
    """Return a client that fails fast. Blocking reads need their own timeout: redis-py's default of 5 s ends them."""
    return Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 1), protocol=2
    )


async def publish(client: "Redis", events: Sequence[Event]) -> None:
    """Append `events` in one round trip. Raises redis.RedisError or OSError."""
    if not events:
        return
    pipeline = client.pipeline(transaction=False)
    add_to_pipeline(pipeline, events)
    await pipeline.execute()


def add_to_pipeline(pipeline: "Pipeline", events: Sequence[Event]) -> None:
    """Append `events` along with other commands of the same round trip."""
    for run in split_into_runs(events):
        pipeline.xadd(STREAM_KEY, encode_entry(run), maxlen=MAX_STREAM_ENTRIES, approximate=True)


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


async def read_last_id(client: "Redis") -> bytes:
    """Return the id of the last entry, to read on from."""
    entries: Any = await client.xrevrange(STREAM_KEY, count=1)
    return entries[0][0] if entries else b"0-0"


async def read_entries(client: "Redis", after_id: bytes, block_ms: int) -> Sequence[tuple[bytes, dict[bytes, bytes]]]:
    """Return the entries after `after_id`, waiting up to `block_ms` for one."""
    streams: Any = await client.xread({STREAM_KEY: after_id}, count=_MAX_ENTRIES_PER_READ, block=block_ms)
    return streams[0][1] if streams else ()


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
    types = fields[b"t"].decode().split(",")
    return StreamEntry(fields[b"a"].decode(), int(fields[b"s"]), types, fields[b"b"].split(b"\n"))
