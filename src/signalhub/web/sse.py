"""`GET /api/v1/stream`: the log as Server-Sent Events."""

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from random import SystemRandom
from typing import Any, Final

from litestar import Request, get
from litestar.datastructures import Cookie
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from sqlalchemy.exc import SQLAlchemyError

from signalhub.container import Services
from signalhub.domain.errors import SignalHubError
from signalhub.services.auth import READ_ORDERS, Principal
from signalhub.streams import event_filter, sse
from signalhub.streams.connections import Connection, ConnectionWriter
from signalhub.streams.plugin import get_raw_send
from signalhub.streams.subscription import subscribe
from signalhub.web.auth import (
    STREAM_COOKIE,
    STREAM_COOKIE_TTL_S,
    STREAM_PATH,
    CookieSession,
    authenticate_stream,
    encrypt_session,
)
from signalhub.web.dependencies import get_services
from signalhub.web.openapi import StreamOperation, problem_specs

_EVENT_STREAM_MEDIA_TYPE: Final = "text/event-stream"
_SSE_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY_BODY: Final = b"retry: %d\n: the service is not ready; come back\n\n"
_jitter = SystemRandom()


@get(
    STREAM_PATH,
    media_type=_EVENT_STREAM_MEDIA_TYPE,
    operation_class=StreamOperation,
    responses=problem_specs(401, 403, 429, 503),
    tags=["events"],
    summary="Follow the log (Server-Sent Events)",
)
async def follow(
    request: Request[Any, Any, Any], *, after: str | None = None, types: str | None = None
) -> ASGIResponse:
    found = get_services(request)
    try:
        who = (await authenticate_stream(request)).require_scope(READ_ORDERS)
    except (SignalHubError, SQLAlchemyError, OSError, TimeoutError) as error:
        return _to_retry_response(request.headers.get("accept", ""), error)
    # The browser's own reconnect repeats the first address: what it has seen since counts for more.
    begin = request.headers.get("last-event-id") or after
    lifetime_s = found.settings.streams.lifetime_s * _jitter.uniform(0.8, 1.2)
    subscribing = subscribe(
        found.relay, who.account_id, begin, event_filter=event_filter.parse(types), lifetime_s=lifetime_s
    )
    return EventStreamResponse(
        found.connections.open(who.account_id, who.credential_id, "sse", subscribing),
        heartbeat_s=found.settings.streams.heartbeat_s,
        accept=request.headers.get("accept", ""),
        cookies=[_create_stream_cookie(found, who)] if "ticket" in request.query_params else [],
    )


class EventStreamResponse(ASGIResponse):
    """A response that is a stream. The seat is taken only when it is sent, so that none is kept for nobody."""

    _should_set_content_length = False

    def __init__(
        self,
        connection: AbstractAsyncContextManager[Connection],
        *,
        heartbeat_s: float,
        accept: str,
        cookies: list[Cookie],
    ) -> None:
        super().__init__(media_type=_EVENT_STREAM_MEDIA_TYPE, headers=_SSE_HEADERS, cookies=cookies, status_code=200)
        self._connection, self._heartbeat_s, self._accept = connection, heartbeat_s, accept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._connection as outlet:
                await self.start_response(send)
                await self._stream_events(outlet, receive, get_raw_send(scope, send))
        except (SignalHubError, SQLAlchemyError, OSError, TimeoutError) as error:
            # Only before the first byte: what goes wrong later ends the subscription and not in an error.
            await _to_retry_response(self._accept, error)(scope, receive, send)

    async def _stream_events(self, connection: Connection, receive: Receive, send: Send) -> None:
        listener = asyncio.create_task(_watch_disconnect(receive, connection))
        try:
            await sse.write_stream(ConnectionWriter(connection, send, sse.encode_events), self._heartbeat_s)
            await send(sse.END_MESSAGE)
        finally:
            listener.cancel()


async def _watch_disconnect(receive: Receive, connection: Connection) -> None:
    """Sending to a peer that has gone says nothing, so its going must be heard."""
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.abort("gone")


def _to_retry_response(accept: str, error: Exception) -> ASGIResponse:
    """A browser's EventSource gives up for good on anything but 200, so trouble that passes must not be an error."""
    is_passing = not isinstance(error, SignalHubError) or error.code == "unavailable"
    if not is_passing or _EVENT_STREAM_MEDIA_TYPE not in accept:
        raise error
    body = _RETRY_BODY % _jitter.randint(800, 2200)
    return ASGIResponse(body=body, media_type=_EVENT_STREAM_MEDIA_TYPE, headers=_SSE_HEADERS, status_code=200)


def _create_stream_cookie(services: Services, principal: Principal) -> Cookie:
    session = CookieSession(principal.credential_id, os.urandom(16).hex())
    return Cookie(
        STREAM_COOKIE,
        value=encrypt_session(services, STREAM_COOKIE, session),
        path=STREAM_PATH,
        max_age=STREAM_COOKIE_TTL_S,
        httponly=True,
        samesite="strict",
        secure=services.settings.web.base_url.startswith("https"),
    )
