"""Connect to Redis, to one server or the master that the sentinels of the URL name; the names of our keys there.

All clients fail fast, since nothing waits for Redis that could go on without it. With Sentinel each new connection asks
for the master first; a write that a demoted master refuses closes the connection, and the next one asks again.
"""

from typing import Any, Final, Self

import msgspec
import redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from signalhub.server_urls import SentinelUrl, parse_redis_url

OUTDATED_KEYS: Final = ("signalhub:events", "signalhub:jobs:orders", "signalhub:jobs:orders.msgs")
"""Keys of versions whose names did not carry the id. Processes of both versions run side by side during an upgrade."""


class RedisKeys(msgspec.Struct, frozen=True):
    """The names carry the installation's id, which follows from its database (`db.epoch.get_installation_id`).

    So two installations on one Redis neither read each other's events nor take each other's messages. `events` is the
    stream, `jobs` the namespace of Dramatiq's keys, `wakeup` a pub/sub channel.

    `worker_heartbeat` is a key that every worker renews; it expires a few seconds after the last one stopped.
    `write_check` is written to learn whether Redis takes writes.
    """

    events: str
    jobs: str
    wakeup: str
    worker_heartbeat: str
    write_check: str

    @classmethod
    def for_installation(cls, installation_id: str) -> Self:
        prefix = f"signalhub:{installation_id}"
        return cls(*(f"{prefix}:{name}" for name in ("events", "jobs", "wakeup", "worker", "write-check")))


_CONNECT_TIMEOUT_S: Final = 0.5
_TLS_CONNECT_TIMEOUT_S: Final = 1.0
_SENTINEL_TIMEOUT_S: Final = 0.5


def connect(url: str, *, timeout_s: float | None = 1.0) -> "redis.Redis":
    """Return a client that blocks. Opens no connection. Raises UrlError."""
    target = parse_redis_url(url)
    options = _build_options(url, timeout_s) | {"retry": Retry(NoBackoff(), 1), "health_check_interval": 30}
    if isinstance(target, str):
        return redis.Redis.from_url(target, **options)
    sentinel_options = _build_sentinel_options(target) | {"retry": Retry(NoBackoff(), 0)}
    sentinel = Sentinel(target.sentinels, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        target.service, **_build_master_options(target), **options
    )
    return client


def connect_async(url: str, *, timeout_s: float | None) -> "AsyncRedis":
    """Return a client for an event loop. Opens no connection. Raises UrlError."""
    target = parse_redis_url(url)
    # No retry: what is published twice would be read twice.
    options = _build_options(url, timeout_s) | {"retry": AsyncRetry(NoBackoff(), 0), "protocol": 2}
    if isinstance(target, str):
        return AsyncRedis.from_url(target, **options)
    sentinel_options = _build_sentinel_options(target) | {"retry": AsyncRetry(NoBackoff(), 0)}
    sentinel = AsyncSentinel(target.sentinels, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    client: AsyncRedis = sentinel.master_for(target.service, **_build_master_options(target), **options)
    return client


def _build_options(url: str, timeout_s: float | None) -> dict[str, Any]:
    """Return the limits of a client. Without them redis-py retries for more than 4 s while Redis is away."""
    connect_timeout_s = _TLS_CONNECT_TIMEOUT_S if url.startswith("rediss") else _CONNECT_TIMEOUT_S
    return {"socket_timeout": timeout_s, "socket_connect_timeout": connect_timeout_s}


def _build_master_options(target: SentinelUrl) -> dict[str, Any]:
    """Return the master's credentials, database and TLS options."""
    options: dict[str, Any] = dict(parse_url(target.server_url))  # type: ignore[no-untyped-call]
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    return options | {"ssl": target.uses_tls}


def _build_sentinel_options(target: SentinelUrl) -> dict[str, Any]:
    tls = {name: value for name, value in _build_master_options(target).items() if name.startswith("ssl")}
    timeouts = {"socket_timeout": _SENTINEL_TIMEOUT_S, "socket_connect_timeout": _SENTINEL_TIMEOUT_S}
    return tls | timeouts | {"username": target.username, "password": target.password}
