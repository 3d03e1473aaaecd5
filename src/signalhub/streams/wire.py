"""The Redis stream: one for all accounts, an entry an event.

The stream makes delivery fast and nothing else. It may lose, repeat or reorder entries; the relay puts right what it
does from the database.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.typing import EncodableT

from signalhub.domain.events import Event

STREAM: Final = "signalhub:events"
LENGTH: Final = 100_000
"""Entries kept, more or less. A relay that is further behind reads the database."""


class Entry(msgspec.Struct, frozen=True):
    account_id: str
    seq: int
    type: str
    body: bytes


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
    for event in events:
        pipeline.xadd(STREAM, encode(event), maxlen=LENGTH, approximate=True)
    await pipeline.execute()


async def newest(client: "Redis") -> bytes:
    """The id of the last entry, from which to read on."""
    found: Any = await client.xrevrange(STREAM, count=1)
    return found[0][0] if found else b"0-0"


async def read(client: "Redis", after: bytes, block_ms: int) -> Sequence[tuple[bytes, dict[bytes, bytes]]]:
    """What came after the id `after`, waiting up to `block_ms` for it."""
    found: Any = await client.xread({STREAM: after}, count=512, block=block_ms)
    return found[0][1] if found else ()


def encode(event: Event) -> dict[EncodableT, EncodableT]:
    return {"a": event.account_id, "s": event.seq, "t": event.type, "b": event.body}


def decode(fields: Mapping[bytes, bytes]) -> Entry:
    return Entry(fields[b"a"].decode(), int(fields[b"s"]), fields[b"t"].decode(), fields[b"b"])
