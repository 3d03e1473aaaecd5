"""Reading a request at a busy door.

Litestar's `request.headers` and `request.body()` do the same by way of a multi-dict and two generators, at a tenth of
the cost of a whole signal.


An answer whose JSON is made already.

Litestar's own response classes would look up by name and encode what is known here: a twentieth of a signal's cost.

"""

from collections.abc import Sequence
from typing import Any, Final

from litestar import Request
from litestar.types import Receive, Scope, Send

from signalhub.domain.errors import SignalHubError
from signalhub.web.dependencies import AnyConnection

MAX_BODY_BYTES: Final = 256 * 1024
"""Bytes read of a body before the connection is given up. Far above the 16 KiB a signal may have, so that a signal
that is too large can still be kept with its refusal."""

_MAX_DISCARDED_BYTES: Final = 8 * 1024 * 1024
"""Bytes passed over before that: who is still sending when the connection is closed does not see the answer."""


def get_header(connection: "AnyConnection", name: bytes) -> str | None:
    """The header `name` (in lower case); the last one, where it was sent twice."""
    scope: Any = connection.scope
    headers: dict[bytes, bytes] | None = scope.get("signalhub.headers")
    if headers is None:
        headers = scope["signalhub.headers"] = dict(scope["headers"])
    found = headers.get(name)
    return None if found is None else found.decode("latin-1")


async def read_body(request: Request[Any, Any, Any]) -> bytes:
    """The raw body, whole: half of a text could be a signal with another price. Raises `too_large` past BODY_LIMIT."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise SignalHubError("bad_request", "The connection ended before the body did.")
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        elif size > _MAX_DISCARDED_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise SignalHubError("too_large", "A signal is at most 16 KiB.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


_JSON_CONTENT_TYPE = (b"content-type", b"application/json")


class RawJsonResponse:
    """An ASGI application that says `body` and nothing else."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, body: bytes, status: int, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._body, self._status = body, status
        self._headers = [_JSON_CONTENT_TYPE, (b"content-length", str(len(body)).encode()), *headers]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
