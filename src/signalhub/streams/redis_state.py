"""What a process knows of Redis: the names of its installation's keys, and whether Redis takes writes.

A Redis that is out of memory, a read-only replica, or one without enough replicas answers each read and refuses each
write. Nothing is lost by that, but orders move by sweeps of the workers' schedulers and streams read the database.
"""

import asyncio
import os
from enum import StrEnum
from typing import Final

import structlog
from redis import RedisError
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import epoch
from db.engine import autocommit
from signalhub.concurrency import SingleFlight
from signalhub.jobs import QUEUE_NAME
from signalhub.redis_clients import RedisKeys
from signalhub.streams.metrics import REDIS_WRITABLE

CHECK_INTERVAL_S: Final = 1.0
CHECK_TIMEOUT_S: Final = 1.0
_EXPIRY_S: Final = 5

_log = structlog.get_logger()


class RedisKeyLoader:
    """Reads the installation's id from the database, once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommit(engine)
        self._reads = SingleFlight[None, RedisKeys]()
        self.keys: RedisKeys | None = None

    async def load(self) -> RedisKeys:
        """Return the names of the keys. Raises the database's error, or TimeoutError, as long as they are not known."""
        if self.keys is None:
            self.keys = await self._reads.run(None, self._read)
        return self.keys

    async def _read(self) -> RedisKeys:
        async with self._engine.connect() as connection:
            return RedisKeys.for_installation(await epoch.get_installation_id(connection))


class RedisStatus(StrEnum):
    """`READ_ONLY`: Redis answers and refuses writes, for whatever reason. `UNKNOWN`: the keys are not known yet."""

    OK = "ok"
    READ_ONLY = "read_only"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


async def find_write_error(client: "Redis", keys: RedisKeys, written_key: str) -> str | None:
    """Write `written_key`, compare the types of the keys, and return why Redis does not take writes; None if it does.

    Raises redis.RedisError or OSError where it cannot be reached.
    """
    queue = f"{keys.jobs}:{QUEUE_NAME}"
    types = {keys.events: b"stream", queue: b"list", f"{queue}.msgs": b"hash", f"{keys.jobs}:__heartbeats__": b"zset"}
    pipeline = client.pipeline(transaction=False)
    pipeline.set(written_key, os.getpid(), ex=_EXPIRY_S)
    for key in types:
        pipeline.type(key)
    written, *actual_types = await pipeline.execute(raise_on_error=False)
    if isinstance(written, Exception):
        return str(written)
    for (key, type_), actual_type in zip(types.items(), actual_types, strict=True):
        if actual_type not in {type_, b"none"}:
            return f"{key} is not of type {type_.decode()}"
    return None


class RedisMonitor:
    """Checks every second whether Redis takes writes, for the metric and one log line for each change.

    What a worker writes is its heartbeat.
    """

    def __init__(self, client: "Redis", key_loader: RedisKeyLoader, *, is_worker: bool = False) -> None:
        self._client, self._key_loader, self._is_worker = client, key_loader, is_worker
        self.status = RedisStatus.UNKNOWN

    @property
    def is_writable(self) -> bool:
        return self.status is RedisStatus.OK

    @property
    def is_failing(self) -> bool:
        """Whether the last check failed. Before the first one nothing is known."""
        return self.status in {RedisStatus.READ_ONLY, RedisStatus.UNAVAILABLE}

    async def run(self) -> None:
        """Check for ever."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def check(self) -> RedisStatus:
        """Check now, and return the status. Never raises. While the database is away it stays as it was."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                keys = await self._key_loader.load()
        except (SQLAlchemyError, OSError, TimeoutError):
            return self.status
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                written_key = keys.worker_heartbeat if self._is_worker else keys.write_check
                write_error = await find_write_error(self._client, keys, written_key)
            self._set_status(RedisStatus.OK if write_error is None else RedisStatus.READ_ONLY, write_error)
        except (RedisError, OSError, TimeoutError) as error:
            self._set_status(RedisStatus.UNAVAILABLE, repr(error))
        return self.status

    def _set_status(self, status: RedisStatus, error: str | None) -> None:
        REDIS_WRITABLE.set(status is RedisStatus.OK)
        if status is self.status:
            return
        is_first, self.status = self.status is RedisStatus.UNKNOWN, status
        if status is not RedisStatus.OK:
            _log.warning("redis.status_changed", status=status, error=error)
        elif not is_first:
            _log.info("redis.status_changed", status=status)
