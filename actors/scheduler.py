"""Forgetting, a little at a time: as much as does not hold up those who work, and then a pause.

The clock: rings for due orders that nobody has rung for.

Every worker process has one and none is in charge, so that no process that hangs can stop time. Ringing twice is
harmless; each tick rings once, and while a backlog lasts each further tick calls one more thread to it. A clock whose
process is busy seldom looks: it would call more hands than there is work for, and pass by all that is on its way.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Final, NoReturn

import structlog
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import orders, retention
from db.engine import autocommit

_RETENTION_INTERVAL_S: Final = 60.0
_RETENTION_BATCH_PAUSE_S: Final = 0.2

_log = structlog.get_logger()


async def prune_expired_forever(
    engine: AsyncEngine, retention_days: int, interval_s: float = _RETENTION_INTERVAL_S
) -> None:
    """Prune for ever what is older than `days`. Every worker process asks; the database lets one at a time."""
    while retention_days:
        try:
            async with engine.begin() as connection:
                pruned = await retention.prune(connection, timedelta(days=retention_days))
            if pruned:
                _log.info("retention.pruned", rows=pruned)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("retention.database_unavailable", error=repr(error))
            pruned = 0
        await asyncio.sleep(_RETENTION_BATCH_PAUSE_S if pruned else interval_s)


POLL_INTERVAL_S: Final = 0.05
_BUSY_POLL_INTERVAL_S: Final = 1.0
_RECONNECT_DELAY_S: Final = 1.0


async def poll_due_orders(engine: AsyncEngine, request_sweep: Callable[[], None], is_busy: Callable[[], bool]) -> None:
    """Tick for ever. `ring` blocks a little, so it is called on a thread."""
    is_blind = False
    while True:
        try:
            # One connection for good: to take one from the pool for each tick costs more than the question.
            async with autocommit(engine).connect() as connection:
                await orders.count_due(connection, 1)
                is_blind = False
                await _poll(connection, request_sweep, is_busy)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if not is_blind:
                _log.warning("scheduler.database_unavailable", error=repr(error))
            is_blind = True
        await asyncio.sleep(_RECONNECT_DELAY_S)


async def _poll(
    connection: AsyncConnection, request_sweep: Callable[[], None], is_busy: Callable[[], bool]
) -> NoReturn:
    looked = 0.0
    while True:
        if not is_busy() or monotonic() - looked > _BUSY_POLL_INTERVAL_S:
            looked = monotonic()
            if await orders.count_due(connection, 1):
                await _call_redis(request_sweep)
        await asyncio.sleep(POLL_INTERVAL_S)


async def send_heartbeats(renew_key: Callable[[], None]) -> None:
    """Say every second that a worker lives."""
    while True:
        await _call_redis(renew_key)
        await asyncio.sleep(1.0)


async def _call_redis(call: Callable[[], object]) -> None:
    """Run a blocking call of Redis on a thread; without Redis nothing is lost but time."""
    try:
        await asyncio.to_thread(call)
    except (RedisError, OSError) as error:
        _log.info("scheduler.notify_failed", error=repr(error))
