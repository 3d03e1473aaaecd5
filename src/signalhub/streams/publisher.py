"""Publish committed events and enqueue due orders, in the background of the request that committed them.

Both go to Redis in one round trip, the jobs first, since the fill of an order waits for them. While a round trip runs,
whatever arrives waits for the next one, which takes it all. Separate because it joins the event stream and the jobs,
which know nothing of each other.
"""

import asyncio
from collections.abc import Sequence

import structlog
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from signalhub import redis_clients
from signalhub.concurrency import Batcher
from signalhub.domain.events import Event
from signalhub.jobs import DueOrder, JobNotifier
from signalhub.streams import redis_stream
from signalhub.streams.metrics import PUBLISH_FAILURES
from signalhub.streams.redis_state import RedisKeyLoader

_MAX_PENDING_EVENTS = 20_000

_log = structlog.get_logger()

_Commit = tuple[Sequence[Event], Sequence[DueOrder]]


class Publisher:
    """What Redis does not take is dropped: relays backfill from the database, the scheduler finds due orders."""

    def __init__(self, redis_url: str, key_loader: RedisKeyLoader) -> None:
        self._client, self._key_loader = redis_clients.connect_async(redis_url, timeout_s=1.0), key_loader
        self._notifier: JobNotifier | None = None
        self._batcher = Batcher[_Commit, None](self._publish_batch)
        self._pending_events = 0

    def publish_soon(self, events: Sequence[Event], due_orders: Sequence[DueOrder]) -> None:
        """Publish new events and enqueue orders that are due already. Does not wait and does not raise."""
        if self._pending_events < _MAX_PENDING_EVENTS:
            self._pending_events += len(events)
            self._batcher.add((events, due_orders))

    async def publish(self, events: Sequence[Event], timeout_s: float) -> None:
        """Publish events and wait for it, at most `timeout_s`. Does not raise."""
        if self._pending_events < _MAX_PENDING_EVENTS:
            self._pending_events += len(events)
            await asyncio.wait((self._batcher.add((events, ())),), timeout=timeout_s)

    async def _publish_batch(self, commits: Sequence[_Commit]) -> Sequence[None]:
        events = [event for commit_events, _ in commits for event in commit_events]
        due_orders = [order for _, commit_orders in commits for order in commit_orders]
        self._pending_events -= len(events)
        try:
            keys = self._key_loader.keys or await self._key_loader.load()
            if self._notifier is None:
                self._notifier = JobNotifier(keys)
            pipeline = self._client.pipeline(transaction=False)
            self._notifier.enqueue(pipeline, due_orders)
            redis_stream.add_to_pipeline(pipeline, keys.events, events)
            await pipeline.execute()
        except (RedisError, SQLAlchemyError, OSError, TimeoutError) as error:
            PUBLISH_FAILURES.inc()
            _log.debug("publish.failed", events=len(events), orders=len(due_orders), error=repr(error))
        return [None] * len(commits)

    async def close(self) -> None:
        """Publish what is pending, then close the connection."""
        await self._batcher.drain()
        await self._client.aclose()
