"""The server's own `send`, for streams that write a thousand times what a response does.

Litestar puts coroutines of its own around it, to know that a response has begun and that a socket has not ended. Both
are known here; and what they take is a third of what a write costs.
"""

from typing import Any, Final, cast

from litestar.types import ASGIApp, Receive, Scope, Send

_RAW_SEND_KEY: Final = "signalhub.send"


def expose_raw_send(app: ASGIApp) -> ASGIApp:
    """`app`, with the `send` that it is given kept in its scope."""

    async def remember(scope: Scope, receive: Receive, send: Send) -> None:
        cast("dict[str, Any]", scope)[_RAW_SEND_KEY] = send
        await app(scope, receive, send)

    return remember


def get_raw_send(scope: Scope) -> Send:
    """Only for what comes after the response's start, or the socket's acceptance."""
    return cast("Send", cast("dict[str, Any]", scope)[_RAW_SEND_KEY])
