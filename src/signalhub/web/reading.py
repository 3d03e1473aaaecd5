"""Reading a request at a busy door.

Litestar's `request.headers` and `request.body()` do the same by way of a multi-dict and two generators, at a tenth of
the cost of a whole signal.
"""

from typing import Any, Final

from litestar import Request

from signalhub.domain.errors import SignalHubError
from signalhub.web.house import AnyConnection

BODY_LIMIT: Final = 256 * 1024
"""Bytes read of a body before the connection is given up. Far above the 16 KiB a signal may have, so that a signal
that is too large can still be kept with its refusal."""


def header(connection: "AnyConnection", name: bytes) -> str | None:
    """The header `name` (in lower case); the last one, where it was sent twice."""
    scope: Any = connection.scope
    headers: dict[bytes, bytes] | None = scope.get("signalhub.headers")
    if headers is None:
        headers = scope["signalhub.headers"] = dict(scope["headers"])
    found = headers.get(name)
    return None if found is None else found.decode("latin-1")


async def body(request: Request[Any, Any, Any]) -> bytes:
    """The raw body. Raises `too_large` past BODY_LIMIT."""
    message: Any = await request.receive()
    parts: list[bytes] = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await request.receive()
        parts.append(message.get("body", b""))
        if sum(map(len, parts)) > BODY_LIMIT:
            raise SignalHubError("too_large", "A signal is at most 16 KiB.")
    return parts[0] if len(parts) == 1 else b"".join(parts)
