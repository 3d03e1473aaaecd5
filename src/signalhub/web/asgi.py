"""Requests and responses below the framework, for the hot routes, and the context that every request carries.

Litestar's `request.headers` and `request.body()` go through a multi-dict and two generators and take a tenth of the
cost of a signal; its response classes look up and encode what is known here, and take a twentieth.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.types import Receive, Scope, Send

from signalhub.domain.errors import ErrorCode, SignalHubError

# Litestar reads annotations at run time and cannot resolve a subscripted generic base.
if TYPE_CHECKING:
    AnyConnection = ASGIConnection[Any, Any, Any, Any]
else:
    AnyConnection = ASGIConnection
AnyRequest = Request[Any, Any, Any]

MAX_BODY_BYTES: Final = 256 * 1024
"""Bytes kept of a body. Far above the 16 KiB that a signal may have, so that a signal that is too large can still be
stored with its rejection."""

_MAX_DISCARDED_BYTES: Final = 8 * 1024 * 1024
"""Bytes read and discarded beyond that: a client that is still sending when the connection is closed does not see the
response."""

_CONTEXT_KEY: Final = "signalhub.context"
_JSON_CONTENT_TYPE: Final = (b"content-type", b"application/json")


class RequestContext(msgspec.Struct, kw_only=True):
    """The state of one request. Authentication, rate limit and error handlers fill in the optional fields."""

    headers: dict[bytes, bytes]
    trace_id: str
    account_id: str | None = None
    error_code: ErrorCode | None = None
    rate_limit_headers: dict[str, str] = {}


def get_context(scope: Scope) -> RequestContext:
    """Return the context of the request, created on first use."""
    untyped: Any = scope
    context: RequestContext | None = untyped.get(_CONTEXT_KEY)
    if context is None:
        headers = dict(scope["headers"])
        trace_id = parse_traceparent(headers.get(b"traceparent")) or os.urandom(16).hex()
        context = untyped[_CONTEXT_KEY] = RequestContext(headers=headers, trace_id=trace_id)
    return context


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


async def read_body(request: Request[Any, Any, Any]) -> bytes:
    """Read the whole body: half of a text could be a signal with another price. Raises `too_large`."""
    parts: list[bytes] = []
    size, has_more = 0, True
    while has_more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise SignalHubError("bad_request", "The connection ended before the body did.")
        part, has_more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        elif size > _MAX_DISCARDED_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise SignalHubError("too_large", "A signal is at most 16 KiB.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


class RawJsonResponse:
    """ASGI application that sends an encoded JSON body."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, body: bytes, status: int, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._body, self._status = body, status
        self._headers = [_JSON_CONTENT_TYPE, (b"content-length", str(len(body)).encode()), *headers]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
