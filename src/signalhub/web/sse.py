"""`GET /api/v1/stream`: follow the log as Server-Sent Events."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from random import SystemRandom
from typing import Any, Final

from litestar import Request, get
from litestar.datastructures import Cookie
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from sqlalchemy.exc import SQLAlchemyError

from signalhub.domain.errors import SignalHubError
from signalhub.services.auth import READ_ORDERS
from signalhub.streams import control_events, sse_frames
from signalhub.streams.event_filter import create_filter
from signalhub.streams.subscription import Connection, Transport, subscribe
from signalhub.web.auth import STREAM_COOKIE, STREAM_PATH, authenticate_stream, create_session_cookie
from signalhub.web.event_query import STREAM_PARAMETERS, get_cursor, read_criteria
from signalhub.web.openapi import StreamFrameDocument, StreamOperation, problem_specs, response_specs
from signalhub.web.request_context import get_context, get_query_parameter, get_raw_send, get_services
from signalhub.web.request_validation import check_query

EVENT_STREAM_MEDIA_TYPE: Final = "text/event-stream"
_SSE_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_jitter = SystemRandom()


@get(
    STREAM_PATH,
    media_type=EVENT_STREAM_MEDIA_TYPE,
    operation_class=StreamOperation,
    operation_id="followEvents",
    query_parameters=STREAM_PARAMETERS,
    responses=response_specs(200, StreamFrameDocument, "The events, one a frame.", EVENT_STREAM_MEDIA_TYPE)
    | problem_specs(401, 403, 404, 422, 429, 503),
    tags=["events"],
    summary="Follow the log (Server-Sent Events)",
)
async def follow(request: Request[Any, Any, Any]) -> ASGIResponse:
    services, accept = get_services(request), request.headers.get("accept", "")
    cookies: list[Cookie] = []
    try:
        principal = (await authenticate_stream(request)).require_scope(READ_ORDERS)
        if get_query_parameter(request, "ticket") is not None:
            # The browser reconnects with the same URL, and a ticket opens one stream only.
            cookies = [create_session_cookie(services, STREAM_COOKIE, principal.credential_id)]
        check_query(request)
        criteria = await read_criteria(request, principal.account_id)
    except (SignalHubError, SQLAlchemyError, OSError, TimeoutError) as error:
        return to_retry_response(accept, error, cookies)
    subscription_manager = subscribe(
        services.relay,
        principal.account_id,
        get_cursor(request),
        event_filter=create_filter(criteria),
        lifetime_s=services.settings.streams.lifetime_s * _jitter.uniform(0.8, 1.2),
    )

    def open_connection(send: Send) -> AbstractAsyncContextManager[Connection]:
        transport = Transport("sse", send, sse_frames.encode_events)
        return services.connections.open(principal.account_id, principal.credential_id, transport, subscription_manager)

    return EventStreamResponse(
        open_connection, heartbeat_s=services.settings.streams.heartbeat_s, accept=accept, cookies=cookies
    )


class EventStreamResponse(ASGIResponse):
    """A response that is a stream. It opens its connection when it is sent: one that is never sent takes no place."""

    _should_set_content_length = False

    def __init__(
        self,
        open_connection: Callable[[Send], AbstractAsyncContextManager[Connection]],
        *,
        heartbeat_s: float,
        accept: str,
        cookies: list[Cookie],
    ) -> None:
        super().__init__(media_type=EVENT_STREAM_MEDIA_TYPE, headers=_SSE_HEADERS, cookies=cookies, status_code=200)
        self._cookies = cookies
        self._open_connection, self._heartbeat_s, self._accept = open_connection, heartbeat_s, accept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if get_context(scope).method == "HEAD":
            await self.start_response(send)
            await send(sse_frames.END_MESSAGE)
            return
        try:
            async with self._open_connection(get_raw_send(scope, send)) as connection:
                await self.start_response(send)
                watcher = asyncio.create_task(_watch_disconnect(receive, connection))
                try:
                    await sse_frames.write_stream(connection, self._heartbeat_s)
                    await send(sse_frames.END_MESSAGE)
                finally:
                    watcher.cancel()
        except (SignalHubError, SQLAlchemyError, OSError, TimeoutError) as error:
            # Raised before the first byte only: a later failure ends the subscription and is no error.
            await to_retry_response(self._accept, error, self._cookies)(scope, receive, send)


async def _watch_disconnect(receive: Receive, connection: Connection) -> None:
    """Abort when the client disconnects: granian does not raise when sending to a closed connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.abort("gone")


def to_retry_response(accept: str, error: Exception, cookies: Iterable[Cookie]) -> ASGIResponse:
    """Return a 200 that makes a browser retry later: its EventSource gives up for good on any other status.

    Raises `error` where it is permanent, or the client is no EventSource.
    """
    refusal = control_events.build_refusal(error)
    if refusal is None or EVENT_STREAM_MEDIA_TYPE not in accept:
        raise error
    return ASGIResponse(
        body=sse_frames.encode_refusal(refusal),
        media_type=EVENT_STREAM_MEDIA_TYPE,
        headers=_SSE_HEADERS,
        cookies=cookies,  # the ticket is spent: without its cookie the browser could not come back
        status_code=200,
    )
