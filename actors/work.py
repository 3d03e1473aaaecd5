"""What an actor has in its hands: the database, the broker, the way to the stream - made on the worker's own loop."""

from collections.abc import Sequence
from time import monotonic
from typing import Final

import structlog
from redis import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import create_engine
from signalhub.brokers import chosen
from signalhub.domain.events import Event
from signalhub.domain.retry import RetryPolicy
from signalhub.services.lifecycle import Lifecycle
from signalhub.settings import Settings
from signalhub.streams import wire

_MAX_SWEEP_DURATION_S: Final = 1.0
_MAX_CONCURRENT_SWEEPS: Final = 2
"""Sweeps of one process at a time: while one decides the other's statements are under way."""

_log = structlog.get_logger()


class WorkerServices:
    """Connections are opened on first use, by which time the event loop that owns them runs."""

    def __init__(self, settings: Settings) -> None:
        # A statement that outlives the lease would come too late: the order is somebody else's by then.
        self.engine: AsyncEngine = create_engine(
            settings.database_url, pool_size=settings.worker_threads + 2, statement_timeout_s=settings.lease_s
        )
        self._redis = wire.connect(settings.redis_url, timeout_s=1.0)
        self._lifecycle = Lifecycle(
            self.engine,
            chosen.create_broker(settings),
            RetryPolicy(settings.retry_attempts, settings.retry_base_s, settings.retry_cap_s),
            lease_s=settings.lease_s,
            publish=self._publish,
        )
        self._active_sweeps = 0

    async def advance(self, order_ids: list[str]) -> None:
        """Take these orders a step on, those of them that are due."""
        await self._publish(await self._lifecycle.advance(order_ids) or ())

    async def sweep(self) -> None:
        """Take what is due a step on, batch by batch, for a while: the clock calls again for the rest.

        A message that ran until nothing is due could run for ever, and no worker could be stopped.
        """
        until = monotonic() + _MAX_SWEEP_DURATION_S
        self._active_sweeps += 1
        try:
            while monotonic() < until and (events := await self._lifecycle.sweep()) is not None:
                await self._publish(events)
        finally:
            self._active_sweeps -= 1

    def is_busy(self) -> bool:
        """Whether enough sweeps are under way here, so that calling one more would get nothing done sooner."""
        return self._active_sweeps >= _MAX_CONCURRENT_SWEEPS

    async def _publish(self, events: Sequence[Event]) -> None:
        try:
            await wire.publish(self._redis, events)
        except (RedisError, OSError) as error:
            _log.info("publish.failed", events=len(events), error=repr(error))

    async def close(self) -> None:
        await self._lifecycle.close()
        await self._redis.aclose()
        await self.engine.dispose()
