"""Forgetting, a little at a time: as much as does not hold up those who work, and then a pause."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import retention

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
