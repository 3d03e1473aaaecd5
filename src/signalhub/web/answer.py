"""An answer whose JSON is made already.

Litestar's own response classes would look up by name and encode what is known here: a twentieth of a signal's cost.
"""

from collections.abc import Sequence

from litestar.types import Receive, Scope, Send

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
