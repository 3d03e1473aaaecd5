"""Background tasks of a worker process: due orders, retention.

Every worker process runs them and none is in charge, so that a hung process cannot stop the scheduler. A sweep that is
requested twice does no harm: each tick requests one, and while a backlog lasts every further tick brings in one more
thread.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import Final, NoReturn

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import orders, retention
from db.engine import autocommit
from signalhub.services.metrics import DIRECT_SWEEPS, DUE_BACKLOG

POLL_INTERVAL_S: Final = 0.05
_BUSY_POLL_INTERVAL_S: Final = 1.0
_MAX_DIRECT_SWEEPS: Final = 2
_BACKLOG_INTERVAL_S: Final = 5.0
_MAX_BACKLOG_COUNT: Final = 10_000
_RECONNECT_DELAY_S: Final = 1.0
_RETENTION_INTERVAL_S: Final = 60.0
_RETENTION_BATCH_PAUSE_S: Final = 0.2

_log = structlog.get_logger()


class DueOrderPoller:
    """Requests a sweep while orders are due that no message has asked for.

    A busy process polls seldom: it would request more sweeps than there is work for, and pass by the orders that
    other messages are about to advance. Where `request_sweep` returns False, because Redis takes no message, it runs
    `sweep` itself.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        request_sweep: Callable[[], Awaitable[bool]],
        sweep: Callable[[], Awaitable[None]],
        is_busy: Callable[[], bool],
    ) -> None:
        self._engine, self._is_busy = autocommit(engine), is_busy
        self._request_sweep, self._sweep = request_sweep, sweep
        self._direct_sweeps: set[asyncio.Task[None]] = set()

    async def run(self) -> NoReturn:
        is_connected = True
        while True:
            try:
                # One connection for good: taking one from the pool at each tick costs more than the query.
                async with self._engine.connect() as connection:
                    await orders.count_due(connection, 1)
                    is_connected = True
                    await self.poll(connection)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                if is_connected:  # one line an outage
                    _log.warning("scheduler.database_unavailable", error=repr(error))
                is_connected = False
            await asyncio.sleep(_RECONNECT_DELAY_S)

    async def poll(self, connection: AsyncConnection) -> NoReturn:
        """Poll for ever. Raises the database's error."""
        last_poll_at = last_backlog_at = 0.0
        while True:
            if monotonic() - last_backlog_at > _BACKLOG_INTERVAL_S:
                last_backlog_at = monotonic()
                DUE_BACKLOG.set(await orders.count_due(connection, _MAX_BACKLOG_COUNT))
            if not self._is_busy() or monotonic() - last_poll_at > _BUSY_POLL_INTERVAL_S:
                last_poll_at = monotonic()
                if await orders.count_due(connection, 1) and not await self._request_sweep():
                    self._start_direct_sweep()
            await asyncio.sleep(POLL_INTERVAL_S)

    def _start_direct_sweep(self) -> None:
        if len(self._direct_sweeps) >= _MAX_DIRECT_SWEEPS:
            return
        task = asyncio.create_task(self._run_direct_sweep())
        self._direct_sweeps.add(task)
        task.add_done_callback(self._direct_sweeps.discard)

    async def _run_direct_sweep(self) -> None:
        DIRECT_SWEEPS.inc()
        try:
            await self._sweep()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("scheduler.sweep_failed", error=repr(error))


async def prune_expired_forever(
    engine: AsyncEngine, retention_days: int, interval_s: float = _RETENTION_INTERVAL_S
) -> None:
    """Delete expired events and signals in small batches with a pause between them, so that others are not held up.

    Returns at once if everything is kept for ever. Of all worker processes, the database lets one prune at a time.
    """
    while retention_days:
        try:
            async with engine.begin() as connection:
                row_count = await retention.prune(connection, timedelta(days=retention_days))
            if row_count:
                _log.info("retention.pruned", rows=row_count)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("retention.database_unavailable", error=repr(error))
            row_count = 0
        await asyncio.sleep(_RETENTION_BATCH_PAUSE_S if row_count else interval_s)
