"""The streams of a web process as a Litestar plugin: routes, the relay's life cycle, closing of streams, metrics.

This package is a layer below `signalhub.web`, so the routes, the start and the check for inactive keys are handed in.
Separate because it is the only module of the package that knows Litestar.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.types import ControllerRouterHandler
from prometheus_client import REGISTRY
from sqlalchemy.exc import SQLAlchemyError

from signalhub.streams import metrics
from signalhub.streams.connections import ConnectionRegistry
from signalhub.streams.stream_relay import Relay

_CLOSE_CHECK_INTERVAL_S: Final = 1.0


class StreamsPlugin(InitPlugin):
    """`start` starts the relay; without a database it returns the task that waits for one, however long.

    `find_inactive_keys` returns those of the given keys that are revoked, expired or deleted.
    """

    def __init__(
        self,
        relay: Relay,
        connections: ConnectionRegistry,
        *,
        routes: Sequence[ControllerRouterHandler],
        start: Callable[[], Awaitable["asyncio.Task[None] | None"]],
        find_inactive_keys: Callable[[Collection[str]], Awaitable[Collection[str]]],
    ) -> None:
        self._relay, self._connections = relay, connections
        self._routes, self._start, self._find_inactive_keys = routes, start, find_inactive_keys

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        metrics.register(REGISTRY)
        app_config.route_handlers.extend(self._routes)
        # Appended: the application's own lifespan, which holds the database, is entered before and left after this.
        app_config.lifespan.append(self.lifespan)
        return app_config

    @asynccontextmanager
    async def lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        retrying = await self._start()
        closing = asyncio.create_task(self._close_revoked_and_slow_streams())
        try:
            yield
        finally:
            if retrying is not None:
                retrying.cancel()
            closing.cancel()
            await self._connections.close_all()
            await self._relay.stop()

    async def _close_revoked_and_slow_streams(self) -> None:
        """Close stuck streams, and those of inactive keys: another process may have revoked a key."""
        while True:
            await asyncio.sleep(_CLOSE_CHECK_INTERVAL_S)
            self._connections.close_slow()
            with suppress(SQLAlchemyError, OSError, TimeoutError):  # asked again in a second
                for key_id in await self._find_inactive_keys(self._connections.open_key_ids()):
                    self._connections.close_by_key(key_id, "revoked")
