"""After the commit: the news to Redis and the doorbell, in the background of whoever committed.

Both go in one round trip, the doorbell first, since somebody waits for the fill. While one is under way everything that
arrives waits for the next, which then takes it all.
"""

import asyncio
from collections.abc import Sequence

import structlog
from redis import RedisError

from signalhub.domain.events import Event
from signalhub.jobs import JobNotifier
from signalhub.streams import redis_stream

_MAX_PENDING_EVENTS = 20_000

_log = structlog.get_logger()


class Publisher:
    """Forgets what Redis does not take: relays heal from the database and the clock rings for what is due."""

    def __init__(self, redis_url: str) -> None:
        self._client = redis_stream.connect(redis_url, timeout_s=1.0)
        self._notifier = JobNotifier()
        self._pending_events: list[Event] = []
        self._pending_order_ids: list[str] = []
        self._publish_task: asyncio.Task[None] | None = None

    def publish_soon(self, events: Sequence[Event], due_order_ids: Sequence[str]) -> None:
        """Pass on new events and orders that are due already. Does not wait and does not raise."""
        if len(self._pending_events) < _MAX_PENDING_EVENTS:
            self._pending_events.extend(events)
            self._pending_order_ids.extend(due_order_ids)
        if self._publish_task is None:
            self._publish_task = asyncio.create_task(self._publish_pending())

    async def _publish_pending(self) -> None:
        try:
            while self._pending_events or self._pending_order_ids:
                events, self._pending_events = self._pending_events, []
                due, self._pending_order_ids = self._pending_order_ids, []
                await self._publish_batch(events, due)
        finally:
            self._publish_task = None

    async def _publish_batch(self, events: Sequence[Event], due_order_ids: Sequence[str]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        self._notifier.enqueue(pipeline, due_order_ids)
        redis_stream.add_to_pipeline(pipeline, events)
        try:
            await pipeline.execute()
        except (RedisError, OSError) as error:
            _log.info("publish.failed", events=len(events), orders=len(due_order_ids), error=repr(error))

    async def close(self) -> None:
        if self._publish_task is not None:
            await self._publish_task
        await self._client.aclose()
