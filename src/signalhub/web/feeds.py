"""`GET /api/v1/stream`: the log as Server-Sent Events."""

import os
from collections.abc import AsyncIterator
from random import SystemRandom
from typing import Any, Final

from litestar import Request, Response, get
from litestar.datastructures import Cookie
from litestar.response import Stream
from sqlalchemy.exc import SQLAlchemyError

from signalhub.domain.errors import SignalHubError
from signalhub.services.principal import READ_ORDERS, Principal
from signalhub.streams import filters, sse
from signalhub.streams.subscription import subscribe
from signalhub.web.callers import STREAM, STREAM_S, Session, seal, stream_caller
from signalhub.web.house import House, house
from signalhub.web.openapi import Followed, refusals

PATH: Final = "/api/v1/stream"

_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_COME_BACK: Final = b"retry: 1000\n: the service is not ready; come back\n\n"
_jitter = SystemRandom()


@get(
    PATH,
    media_type="text/event-stream",
    operation_class=Followed,
    responses=refusals(401, 403, 429, 503),
    tags=["events"],
    summary="Follow the log (Server-Sent Events)",
)
async def follow(
    request: Request[Any, Any, Any], *, after: str | None = None, types: str | None = None
) -> Response[Any]:
    found = house(request)
    try:
        who = (await stream_caller(request)).need(READ_ORDERS)
        found.streams.admit(who.account_id)
    except (SignalHubError, SQLAlchemyError, OSError, TimeoutError) as error:
        return _later(request, error)
    wanted = filters.parse(types)
    # The browser's own reconnect repeats the first address: what it has seen since counts for more.
    begin = request.headers.get("last-event-id") or after
    return Stream(
        _bytes(found, who, begin, wanted),
        media_type="text/event-stream",
        headers=_HEADERS,
        cookies=[_cookie(found, who)] if "ticket" in request.query_params else [],
    )


async def _bytes(found: House, who: Principal, begin: str | None, wanted: filters.Wanted) -> AsyncIterator[bytes]:
    settings = found.settings
    lifetime_s = settings.stream_lifetime_s * _jitter.uniform(0.8, 1.2)
    try:
        async with subscribe(found.relay, who.account_id, begin, wanted=wanted, lifetime_s=lifetime_s) as subscription:
            place = {"account_id": who.account_id, "key_id": who.credential_id, "transport": "sse"}
            async with found.streams.hold(subscription, **place):
                async for chunk in sse.stream(subscription, settings.heartbeat_s):
                    yield chunk
    except (SQLAlchemyError, OSError, TimeoutError):
        yield _COME_BACK


def _later(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A browser's EventSource gives up for good on anything but 200, so trouble that passes must not be an error."""
    is_passing = not isinstance(error, SignalHubError) or error.code == "unavailable"
    if is_passing and "text/event-stream" in request.headers.get("accept", ""):
        return Response(_COME_BACK, media_type="text/event-stream", headers=_HEADERS)
    raise error


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
