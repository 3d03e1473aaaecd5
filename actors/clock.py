"""The clock: rings for due orders that nobody has rung for.

Every worker process has one and none is in charge, so that no process that hangs can stop time. Ringing twice is
harmless; each tick rings once, and while a backlog lasts each further tick calls one more thread to it. A clock whose
process is busy seldom looks: it would call more hands than there is work for, and pass by all that is on its way.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import orders
from db.engine import at_once

TICK_S: Final = 0.05
_SELDOM_S: Final = 1.0

_log = structlog.get_logger()


async def run(engine: AsyncEngine, ring: Callable[[], None], is_busy: Callable[[], bool]) -> None:
    """Tick for ever. `ring` blocks a little, so it is called on a thread."""
    is_blind, looked, engine = False, 0.0, at_once(engine)
    while True:
        try:
            if not is_busy() or monotonic() - looked > _SELDOM_S:
                looked = monotonic()
                if await _is_anything_due(engine):
                    await _safely(ring)
            is_blind = False
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if not is_blind:
                _log.warning("clock.blind", error=repr(error))
            is_blind = True
        await asyncio.sleep(1.0 if is_blind else TICK_S)


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


async def _is_anything_due(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return await orders.due_count(connection, 1) > 0
