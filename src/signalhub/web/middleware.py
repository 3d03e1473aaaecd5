"""What surrounds the routes of the framework: HTTP metrics, and a limit of the time that they wait for the database.

A server that hangs keeps its connections open, and every statement on them waits. The routes that receive signals are
counted by `request_context` and have limits of their own, and a stream has none once it is open.
"""

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

from litestar import Request
from litestar.plugins.prometheus import PrometheusConfig
from litestar.types import ASGIApp, Message, Middleware, Receive, Scope, Send
from prometheus_client import Counter
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from signalhub.shared_metrics import BufferedCounter

HTTP_METRICS: Final = PrometheusConfig(app_name="signalhub", prefix="signalhub_http", group_path=True)
ERROR_RESPONSES: Final = Counter("signalhub_error_responses", "Problem documents sent, by error code.", ["code"])

# Litestar's middleware takes 40 us of a request, this takes less than 1 us.
SIGNAL_REQUESTS: Final = BufferedCounter(
    Counter("signalhub_signal_requests", "Requests that bring a signal, by route and status.", ["path", "status"])
)

FIRST_ANSWER_TIMEOUT_S: Final = 1.0
"""With the close of a connection that is silent, the response comes within two seconds."""

NEXT_ANSWER_TIMEOUT_S: Final = 5.0
"""A server that has answered once is there: it may take longer for the statements of a large account."""

_current_limit: Final[ContextVar[asyncio.Timeout | None]] = ContextVar("database_time_limit", default=None)


def watch_answers(engine: AsyncEngine) -> None:
    """Have each answer of the database extend the limit of the request that it is for."""
    event.listen(engine.sync_engine, "after_cursor_execute", extend_limit)


def extend_limit(*_: object) -> None:
    limit = _current_limit.get()
    if limit is not None and limit.when() is not None:
        with suppress(RuntimeError):  # its request has ended: several requests may share one read
            limit.reschedule(asyncio.get_running_loop().time() + NEXT_ANSWER_TIMEOUT_S)


def limit_database_time(app: ASGIApp) -> ASGIApp:
    """Return an application that answers 503 if `app` waits too long for the database before its response begins.

    The time that it waits for the client, for the rest of the body, does not count.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_without_limit() -> Any:  # noqa: ANN401 - an ASGI message
            deadline = limit.when()
            limit.reschedule(None)
            began = loop.time()
            try:
                return await receive()
            finally:
                if deadline is not None:
                    limit.reschedule(deadline + loop.time() - began)

        async def send_without_limit(message: Message) -> None:
            if not limit.expired():  # a driver may turn the cancellation into an error of its own
                limit.reschedule(None)
            await send(message)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(FIRST_ANSWER_TIMEOUT_S) as limit:
                _current_limit.set(limit)
                await app(scope, receive_without_limit, send_without_limit)
        except TimeoutError as error:
            # Rendered here and not raised, or the metrics around this would not see the status.
            handlers: Any = scope["route_handler"].resolve_exception_handlers()
            request: Request[Any, Any, Any] = Request(scope, receive, send)
            response = handlers[TimeoutError](request, error).to_asgi_response(app=None, request=request)
            await response(scope, receive, send)

    return call


FRAMEWORK_MIDDLEWARE: Final[list[Middleware]] = [HTTP_METRICS.middleware, limit_database_time]
"""What the routes of the framework run in, outermost first."""
