"""Forgetting, a little at a time: as much as does not hold up those who work, and then a pause."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import retention

_PAUSE_S: Final = 60.0
_BREATH_S: Final = 0.2

_log = structlog.get_logger()


async def run(engine: AsyncEngine, days: int, pause_s: float = _PAUSE_S) -> None:
    """Prune for ever what is older than `days`. Every worker process asks; the database lets one at a time."""
    while days:
        try:
            async with engine.begin() as connection:
                pruned = await retention.prune(connection, timedelta(days=days))
            if pruned:
                _log.info("retention.pruned", rows=pruned)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("retention.blind", error=repr(error))
            pruned = 0
        await asyncio.sleep(_BREATH_S if pruned else pause_s)
