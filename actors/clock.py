"""The clock: rings for due orders that nobody has rung for.

Every worker process has one and none is in charge, so that no process that hangs can stop time. Ringing twice is
harmless; each tick rings once, and while a backlog lasts each further tick calls one more thread to it. A clock whose
process is busy seldom looks: it would call more hands than there is work for, and pass by all that is on its way.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, NoReturn

import structlog
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import orders
from db.engine import autocommit

POLL_INTERVAL_S: Final = 0.05
_BUSY_POLL_INTERVAL_S: Final = 1.0
_RECONNECT_DELAY_S: Final = 1.0

_log = structlog.get_logger()


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
