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
from db.engine import at_once

TICK_S: Final = 0.05
_SELDOM_S: Final = 1.0
_BLIND_S: Final = 1.0

_log = structlog.get_logger()


async def run(engine: AsyncEngine, ring: Callable[[], None], is_busy: Callable[[], bool]) -> None:
    """Tick for ever. `ring` blocks a little, so it is called on a thread."""
    is_blind = False
    while True:
        try:
            # One connection for good: to take one from the pool for each tick costs more than the question.
            async with at_once(engine).connect() as connection:
                await orders.due_count(connection, 1)
                is_blind = False
                await _tick(connection, ring, is_busy)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if not is_blind:
                _log.warning("clock.blind", error=repr(error))
            is_blind = True
        await asyncio.sleep(_BLIND_S)


async def _tick(connection: AsyncConnection, ring: Callable[[], None], is_busy: Callable[[], bool]) -> NoReturn:
    looked = 0.0
    while True:
        if not is_busy() or monotonic() - looked > _SELDOM_S:
            looked = monotonic()
            if await orders.due_count(connection, 1):
                await _safely(ring)
        await asyncio.sleep(TICK_S)


async def be_seen(show: Callable[[], None]) -> None:
    """Say every second that a worker lives."""
    while True:
        await _safely(show)
        await asyncio.sleep(1.0)


async def _safely(call: Callable[[], object]) -> None:
    """Run a blocking call of Redis on a thread; without Redis nothing is lost but time."""
    try:
        await asyncio.to_thread(call)
    except (RedisError, OSError) as error:
        _log.info("clock.unheard", error=repr(error))
