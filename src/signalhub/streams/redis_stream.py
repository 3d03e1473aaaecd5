"""The Redis stream: one for all accounts, an entry for a run of events of one account.

The stream makes delivery fast and nothing else. It may lose, repeat or reorder entries; the relay puts right what it
does from the database.
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
"""Events in one entry."""

MAX_STREAM_ENTRIES: Final = 50_000
"""Entries kept, more or less. A relay that is further behind reads the database."""


class StreamEntry(msgspec.Struct, frozen=True):
    """Consecutive events of an account. `first` is the seq of the first; the others follow without a gap."""

    account_id: str
    first_seq: int
    types: list[str]
    bodies: list[bytes]


def connect(url: str, *, timeout_s: float | None) -> "Redis":
    """`timeout_s` None is for blocking reads: redis-py's default of 5 s would end them."""
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
    """The same for a pipeline that carries something else too."""
    for run in split_into_runs(events):
        pipeline.xadd(STREAM_KEY, encode_entry(run), maxlen=MAX_STREAM_ENTRIES, approximate=True)


def split_into_runs(events: Sequence[Event]) -> list[list[Event]]:
    """The events by account, cut where `seq` jumps."""
    open_runs: dict[str, list[Event]] = {}
    found: list[list[Event]] = []
    for event in events:
        run = open_runs.get(event.account_id)
        if run is None or run[-1].seq + 1 != event.seq or len(run) >= MAX_EVENTS_PER_ENTRY:
            run = open_runs[event.account_id] = []
            found.append(run)
        run.append(event)
    return found


async def read_last_id(client: "Redis") -> bytes:
    """The id of the last entry, from which to read on."""
    found: Any = await client.xrevrange(STREAM_KEY, count=1)
    return found[0][0] if found else b"0-0"


async def read_entries(client: "Redis", after_id: bytes, block_ms: int) -> Sequence[tuple[bytes, dict[bytes, bytes]]]:
    """What came after the id `after`, waiting up to `block_ms` for it."""
    found: Any = await client.xread({STREAM_KEY: after_id}, count=512, block=block_ms)
    return found[0][1] if found else ()


def encode_entry(run: Sequence[Event]) -> dict[EncodableT, EncodableT]:
    """No event's JSON holds a line break, so lines can part them."""
    return {
        "a": run[0].account_id,
        "s": run[0].seq,
        "t": ",".join(event.type for event in run),
        "b": b"\n".join(event.body for event in run),
    }


def decode_entry(fields: Mapping[bytes, bytes]) -> StreamEntry:
    types = fields[b"t"].decode().split(",")
    return StreamEntry(fields[b"a"].decode(), int(fields[b"s"]), types, fields[b"b"].split(b"\n"))
