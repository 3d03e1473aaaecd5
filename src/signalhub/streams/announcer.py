"""After the commit: the news to Redis and the doorbell, in the background of whoever committed.

Both go in one round trip, the doorbell first, since somebody waits for the fill. While one is under way everything that
arrives waits for the next, which then takes it all.
"""

import asyncio
from collections.abc import Sequence

import structlog
from redis import RedisError

from signalhub.domain.events import Event
from signalhub.jobs import Doorbell
from signalhub.streams import wire

_MOST_WAITING = 20_000

_log = structlog.get_logger()


class Announcer:
    """Forgets what Redis does not take: relays heal from the database and the clock rings for what is due."""

    def __init__(self, redis_url: str) -> None:
        self._client = wire.connect(redis_url, timeout_s=1.0)
        self._doorbell = Doorbell()
        self._events: list[Event] = []
        self._due: list[str] = []
        self._round: asyncio.Task[None] | None = None

    def announce(self, events: Sequence[Event], due: Sequence[str]) -> None:
        """Pass on new events and orders that are due already. Does not wait and does not raise."""
        if len(self._events) < _MOST_WAITING:
            self._events.extend(events)
            self._due.extend(due)
        if self._round is None:
            self._round = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._events or self._due:
                events, self._events = self._events, []
                due, self._due = self._due, []
                await self._send(events, due)
        finally:
            self._round = None

    async def _send(self, events: Sequence[Event], due: Sequence[str]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        self._doorbell.ring(pipeline, due)
        wire.append(pipeline, events)
        try:
            await pipeline.execute()
        except (RedisError, OSError) as error:
            _log.info("news.unheard", events=len(events), orders=len(due), error=repr(error))

    async def close(self) -> None:
        if self._round is not None:
            await self._round
        await self._client.aclose()
