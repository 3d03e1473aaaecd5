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

from signalhub.domain.errors import SignalHubError
from signalhub.services.principal import READ_ORDERS, Principal
from signalhub.streams import filters, sse
from signalhub.streams.audience import Outlet
from signalhub.streams.delivery import Delivery
from signalhub.streams.subscription import subscribe
from signalhub.web import directly
from signalhub.web.callers import STREAM, STREAM_S, Session, seal, stream_caller
from signalhub.web.house import House, house
from signalhub.web.openapi import Followed, refusals

PATH: Final = "/api/v1/stream"

_EVENT_STREAM: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_COME_BACK: Final = b"retry: %d\n: the service is not ready; come back\n\n"
_jitter = SystemRandom()


@get(
    PATH,
    media_type=_EVENT_STREAM,
    operation_class=Followed,
    responses=refusals(401, 403, 429, 503),
    tags=["events"],
    summary="Follow the log (Server-Sent Events)",
)
async def follow(
    request: Request[Any, Any, Any], *, after: str | None = None, types: str | None = None
) -> ASGIResponse:
    found = house(request)
    try:
        who = (await stream_caller(request)).need(READ_ORDERS)
    except (SignalHubError, SQLAlchemyError, OSError, TimeoutError) as error:
        return _later(request.headers.get("accept", ""), error)
    # The browser's own reconnect repeats the first address: what it has seen since counts for more.
    begin = request.headers.get("last-event-id") or after
    lifetime_s = found.settings.stream_lifetime_s * _jitter.uniform(0.8, 1.2)
    subscribing = subscribe(found.relay, who.account_id, begin, wanted=filters.parse(types), lifetime_s=lifetime_s)
    return Feed(
        found.streams.seat(who.account_id, who.credential_id, "sse", subscribing),
        heartbeat_s=found.settings.heartbeat_s,
        accept=request.headers.get("accept", ""),
        cookies=[_cookie(found, who)] if "ticket" in request.query_params else [],
    )


class Feed(ASGIResponse):
    """A response that is a stream. The seat is taken only when it is sent, so that none is kept for nobody."""

    _should_set_content_length = False

    def __init__(
        self, seat: AbstractAsyncContextManager[Outlet], *, heartbeat_s: float, accept: str, cookies: list[Cookie]
    ) -> None:
        super().__init__(media_type=_EVENT_STREAM, headers=_HEADERS, cookies=cookies, status_code=200)
        self._seat, self._heartbeat_s, self._accept = seat, heartbeat_s, accept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._seat as outlet:
                await self.start_response(send)
                await self._run(outlet, receive, directly.send_of(scope))
        except (SignalHubError, SQLAlchemyError, OSError, TimeoutError) as error:
            # Only before the first byte: what goes wrong later ends the subscription and not in an error.
            await _later(self._accept, error)(scope, receive, send)

    async def _run(self, outlet: Outlet, receive: Receive, send: Send) -> None:
        listener = asyncio.create_task(_listen(receive, outlet))
        try:
            await sse.stream(Delivery(outlet, send, sse.dress), self._heartbeat_s)
            await send(sse.END)
        finally:
            listener.cancel()


async def _listen(receive: Receive, outlet: Outlet) -> None:
    """Sending to a peer that has gone says nothing, so its going must be heard."""
    while (await receive())["type"] != "http.disconnect":
        pass
    outlet.cut("gone")


def _later(accept: str, error: Exception) -> ASGIResponse:
    """A browser's EventSource gives up for good on anything but 200, so trouble that passes must not be an error."""
    is_passing = not isinstance(error, SignalHubError) or error.code == "unavailable"
    if not is_passing or _EVENT_STREAM not in accept:
        raise error
    body = _COME_BACK % _jitter.randint(800, 2200)
    return ASGIResponse(body=body, media_type=_EVENT_STREAM, headers=_HEADERS, status_code=200)


def _cookie(found: House, who: Principal) -> Cookie:
    session = Session(who.credential_id, os.urandom(16).hex())
    return Cookie(
        STREAM,
        value=seal(found, STREAM, session),
        path=PATH,
        max_age=STREAM_S,
        httponly=True,
        samesite="strict",
        secure=found.settings.base_url.startswith("https"),
    )
