"""The ASGI side of the service: the outermost application, and what the hot routes use in place of the framework.

Litestar's `request.headers` and `request.body()` go through a multi-dict and two generators and take a tenth of the
cost of a signal; its response classes look up and encode what is known here, and take a twentieth. An injected
dependency takes a task and a copy of the arguments.
"""

from collections.abc import Awaitable, Mapping
from logging import DEBUG
from random import getrandbits
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import structlog
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Method, Receive, Scope, Send

from signalhub.container import Services
from signalhub.domain.errors import ErrorCode, SignalHubError
from signalhub.web.load_shedding import LoadShedder
from signalhub.web.middleware import SIGNAL_REQUESTS
from signalhub.web.rate_limit import RateLimiter

# Litestar reads annotations at run time and cannot resolve a subscripted generic base.
if TYPE_CHECKING:
    AnyConnection = ASGIConnection[Any, Any, Any, Any]
else:
    AnyConnection = ASGIConnection
AnyRequest = Request[Any, Any, Any]

# The limits of the bodies. That of a route is its `request_max_body_size`, by default MAX_JSON_BODY_BYTES.
MAX_BODY_BYTES: Final = 256 * 1024
"""Bytes kept of a text. Far above the 16 KiB that a signal may have, so that a signal that is too large can still be
stored with its rejection."""

MAX_JSON_BODY_BYTES: Final = 16 * 1024
MAX_FORM_BYTES: Final = 4096
MAX_SIGNAL_FORM_BYTES: Final = 64 * 1024
"""The form of a signal: each byte of its text may take three."""

MAX_QUERY_BYTES: Final = 4096
MAX_QUERY_PARAMETERS: Final = 32
"""Litestar keeps the last 1,024 queries that it has parsed, in each of two caches."""

_MAX_DISCARDED_BYTES: Final = 8 * 1024 * 1024
"""Bytes read and discarded beyond that: a client that is still sending when the connection is closed does not see the
response."""

_CONTEXT_KEY: Final = "signalhub.context"
_FIRST_ERROR_STATUS: Final = 400
_JSON_CONTENT_TYPE: Final = (b"content-type", b"application/json")


class RequestContext(msgspec.Struct, kw_only=True):
    """The state of one request or socket.

    `method` is that of the request; a HEAD or OPTIONS has another one in its scope (see `OutermostApplication`). The
    outermost application, authentication, rate limit and error handlers fill in the optional fields.
    """

    headers: dict[bytes, bytes]
    trace_id: str
    method: str
    raw_send: Send | None = None
    account_id: str | None = None
    error_code: ErrorCode | None = None
    rate_limit_headers: dict[str, str] = {}


def get_context(scope: Scope) -> RequestContext:
    """Return the context of the request, created on first use."""
    untyped: Any = scope
    context: RequestContext | None = untyped.get(_CONTEXT_KEY)
    if context is None:
        headers = dict(scope["headers"])
        trace_id = parse_traceparent(headers.get(b"traceparent")) or f"{getrandbits(128):032x}"
        context = untyped[_CONTEXT_KEY] = RequestContext(
            headers=headers, trace_id=trace_id, method=untyped.get("method", "GET")
        )
    return context


def get_services(connection: "AnyConnection") -> Services:
    return cast("Services", connection.app.state["services"])


def get_rate_limiter(connection: "AnyConnection") -> RateLimiter:
    return cast("RateLimiter", connection.app.state["rate_limiter"])


def parse_traceparent(header: bytes | None) -> str | None:
    """Return the trace id of a W3C `traceparent` header, or None if there is none of that form."""
    if header is None:
        return None
    parts = header.decode("latin-1").split("-")
    is_trace = len(parts) >= 4 and len(parts[1]) == 32 and set(parts[1]) <= set("0123456789abcdef")  # noqa: PLR2004 - the form of W3C Trace Context
    return parts[1] if is_trace and set(parts[1]) != {"0"} else None


def get_header(connection: "AnyConnection", name: bytes) -> str | None:
    """Return the header `name`, given in lower case; the last one if it was sent twice."""
    value = get_context(connection.scope).headers.get(name)
    return None if value is None else value.decode("latin-1")


def get_cookie(connection: "AnyConnection", name: str) -> str | None:
    """Return the cookie `name` without quotes around its value; the first one if it was sent twice.

    In place of `connection.cookies`: `http.cookies`, which that uses, takes five seconds for 15,000 backslashes
    (CVE-2024-7592), and Litestar keeps the last 1,024 headers that it has parsed.
    """
    for pair in (get_header(connection, b"cookie") or "").split(";"):
        pair_name, _, value = pair.partition("=")
        if pair_name.strip() == name:
            return value.strip().strip('"')
    return None


def is_query_too_large(scope: Scope) -> bool:
    query: bytes = scope["query_string"]
    return len(query) > MAX_QUERY_BYTES or query.count(b"&") >= MAX_QUERY_PARAMETERS


def get_query_parameter(connection: "AnyConnection", name: str) -> str | None:
    """Return a parameter of a query that was not checked yet; None from one that is too large, which is not parsed."""
    return None if is_query_too_large(connection.scope) else connection.query_params.get(name)


async def read_body(request: Request[Any, Any, Any]) -> bytes:
    """Read the whole body: half of a text could be a signal with another price. Raises `too_large`."""
    parts: list[bytes] = []
    context = get_context(request.scope)
    # The end of the body is a message of its own, which waits for its turn like any other.
    declared_size = context.headers.get(b"content-length", b"")
    size, has_more = 0, True
    while has_more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise SignalHubError("bad_request", "The connection ended before the body did.")
        part, has_more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        has_more = has_more and declared_size != str(size).encode()
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        elif size > _MAX_DISCARDED_BYTES:  # a client that never ends is cut off after all
            break
    if size > MAX_BODY_BYTES:
        raise SignalHubError("too_large", "A signal is at most 16 KiB.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


class RawJsonResponse:
    """ASGI application that sends an encoded JSON body."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        self._body, self._status = body, status
        self._headers = [
            _JSON_CONTENT_TYPE,
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
        ]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


# Litestar registers no HEAD for a GET. Its OPTIONS runs the route's guards, and names only the methods that were
# declared together; for a method that no route has, it raises an error with all of them, which `problems` turns into
# the response.
_ROUTED_METHODS: Final[dict[str, Method]] = {"HEAD": "GET", "OPTIONS": "TRACE"}


class OutermostApplication:
    """ASGI application around Litestar: shed load, keep the server's `send` for streams, count and log each request.

    Only from here the status of every response is seen, also that of an unknown path. Middleware inside Litestar is
    given a wrapped `send`. Litestar handles a HEAD as the GET whose response it is without the body, and an OPTIONS as
    a method that is not allowed.

    A handler with `exclude_from_log=True` has no line. On a handler with `is_hot=True` the line of a request that
    succeeds is at level debug: at info it takes 45 us. Under full load a service with this class acknowledged 9 % fewer
    signals than one without it, more than the 2 us of its Python explain.
    """

    def __init__(self, app: ASGIApp, load_shedder: LoadShedder) -> None:
        self._app, self._load_shedder = app, load_shedder
        # Bound once: structlog resolves the logger of a module at each call.
        self._log = structlog.get_logger().bind()
        self._logs_hot_routes = self._log.is_enabled_for(DEBUG)

    def replace_inner(self, app: ASGIApp) -> None:
        """Hand requests to `app` from now on."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            if scope["type"] == ScopeType.WEBSOCKET:  # and not the lifespan, which has no context
                get_context(scope).raw_send = send
            await self._app(scope, receive, send)
            return
        context = get_context(scope)  # it keeps the method
        if scope["method"] in _ROUTED_METHODS:
            send = discard_body(send) if scope["method"] == "HEAD" else send
            scope["method"] = _ROUTED_METHODS[scope["method"]]
        context.raw_send = send
        started_at, status = perf_counter(), 0
        if not self._load_shedder.admit(scope, context.headers, started_at):
            await self._load_shedder.refuse(context.trace_id, send)
            return

        # Not a coroutine of its own: it hands on that of the server.
        def send_and_keep_status(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self._app(scope, receive, send_and_keep_status)
        finally:
            self.finish_request(scope, status, perf_counter() - started_at)
            self._load_shedder.leave(scope, context.headers, context.account_id, started_at)

    def finish_request(self, scope: HTTPScope, status: int, duration_s: float) -> None:
        """Count and log a request. The path is the route's template: a path itself can hold a hook's token."""
        handler: Any = scope.get("route_handler")
        options = handler.opt if handler is not None else {}
        path, log = scope.get("path_template"), self._log.info
        if options.get("exclude_from_log"):
            return
        if options.get("is_hot"):
            SIGNAL_REQUESTS.pending[path or "", str(status)] += 1
            if status < _FIRST_ERROR_STATUS:
                if not self._logs_hot_routes:
                    return
                log = self._log.debug
        context = get_context(scope)
        log(
            "request.finished",
            method=context.method,
            path=path,
            status=status,
            code=context.error_code,
            duration_ms=round(duration_s * 1000, 2),
            trace_id=context.trace_id,
            account_id=context.account_id,
        )


def discard_body(send: Send) -> Send:
    """Return a `send` that sends the head of a response, and of its body only the end."""

    async def send_without_body(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
        elif not message.get("more_body"):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_without_body


def get_raw_send(scope: Scope, default: Send) -> Send:
    """Return the server's own `send`, or `default` without the outermost application.

    Litestar wraps `send` in coroutines of its own, which note that a response has begun or a socket has ended. A
    stream knows both, and the wrappers take a third of the cost of a write. Only for what follows the start of the
    response, or the acceptance of the socket.
    """
    return get_context(scope).raw_send or default
