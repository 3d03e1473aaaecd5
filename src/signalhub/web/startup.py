"""The start of a web process: wait for the database, and answer 503 until it can be used.

The process listens at once, so that a load balancer and an operator learn why it is not ready.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import migrate
from signalhub.concurrency import finish_or_abandon
from signalhub.domain.errors import SignalHubError
from signalhub.settings import WebSettings
from signalhub.web.auth import STREAM_PATH
from signalhub.web.middleware import ERROR_RESPONSES
from signalhub.web.problems import send_problem
from signalhub.web.request_context import get_context
from signalhub.web.sse import EVENT_STREAM_MEDIA_TYPE, to_retry_response

_ATTEMPT_TIMEOUT_S: Final = 3.0
_MIN_RETRY_DELAY_S: Final = 0.1
_MAX_RETRY_DELAY_S: Final = 1.0
_ALWAYS_SERVED_PATHS: Final = ("/health/live", "/health/ready", "/metrics")
_TRY_AGAIN_LATER: Final = 1013
"""The WebSocket close code of a server that cannot serve for the moment."""

_log = structlog.get_logger()


class Startup:
    """`start_relay` is the first use of the database; it may be called again after it has failed.

    Each of `done_callbacks` is called when the start has ended.
    """

    def __init__(self, web: WebSettings, engine: AsyncEngine, start_relay: Callable[[], Awaitable[None]]) -> None:
        self._web, self._engine, self._start_relay = web, engine, start_relay
        self.is_done = False
        self.done_callbacks: list[Callable[[], None]] = []
        self._hint = ""

    async def begin(self) -> "asyncio.Task[None] | None":
        """Try once: with a database that answers, no request comes before the start has ended.

        Returns the task that goes on trying where the database is not reachable or not migrated.
        """
        return None if await self._attempt() else asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        delay_s = _MIN_RETRY_DELAY_S
        await asyncio.sleep(delay_s)
        while not await self._attempt():
            delay_s = min(_MAX_RETRY_DELAY_S, delay_s * 2)
            await asyncio.sleep(delay_s)

    async def _attempt(self) -> bool:
        """Return whether the start has ended. Logs a line for each new reason to wait, and at the end."""
        try:
            self.is_done = await finish_or_abandon(_ATTEMPT_TIMEOUT_S, self._start())
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0] or type(error).__name__
            self._log_reason(reason, "Check that PostgreSQL runs, and SIGNALHUB_DATABASE_URL.")
            return False
        if self.is_done:
            _log.info("web.started", host=self._web.host, port=self._web.port, pid=os.getpid())
            for callback in self.done_callbacks:
                callback()
        else:
            self._log_reason("The schema is missing or older than this version.", "Run `signalhub migrate`.")
        return self.is_done

    async def _start(self) -> bool:
        """Return whether the schema is one that this version can use, and then start the relay."""
        is_current = await migrate.is_current(self._engine)
        if is_current:
            await self._start_relay()
        return is_current

    def _log_reason(self, reason: str, hint: str) -> None:
        if hint != self._hint:  # one line a state: the text of an error may change with every attempt
            _log.warning("web.waiting_for_database", reason=reason, hint=hint)
        self._hint = hint

    def gate(self, app: ASGIApp) -> ASGIApp:
        """Return an application that answers 503 in place of `app`, except for its health, until this is done."""

        def call(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            path: Any = scope.get("path")  # the lifespan has none
            if self.is_done or path is None or path.rstrip("/") in _ALWAYS_SERVED_PATHS:
                return app(scope, receive, send)
            return self._refuse(scope, receive, send)

        return call

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await receive()
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": "starting"})
            return
        error = SignalHubError("unavailable", "The service is starting: it waits for its database.", retry_after_s=1)
        context = get_context(scope)
        accept = context.headers.get(b"accept", b"").decode("latin-1")
        if scope["path"].rstrip("/") == STREAM_PATH and EVENT_STREAM_MEDIA_TYPE in accept:
            context.error_code = error.code
            ERROR_RESPONSES.labels(error.code).inc()
            await to_retry_response(accept, error, ())(scope, receive, send)
        else:
            await send_problem(scope, send, self._web.base_url, error)
