"""Prices of the mock market, now or at a given time, with candles for a plot.

Separate because quotes are a resource of their own, and the only one without a database.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from litestar import Router, get
from litestar.params import Parameter

from signalhub.brokers.mock.quotes import MAX_CANDLES, QuoteView
from signalhub.domain.errors import SignalHubError
from signalhub.services.auth import READ_ORDERS
from signalhub.web.auth import AppServices, require_scope
from signalhub.web.openapi import LOOKUP_PROBLEMS

Interval = Literal["1s", "15s", "1m", "5m", "15m", "1h", "4h", "1d"]

_SECONDS_PER_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MIN_TIME: Final = datetime(1971, 1, 1, tzinfo=UTC)
_MAX_TIME: Final = datetime(2200, 1, 1, tzinfo=UTC)


@get(
    "/api/v1/quotes/{symbol:str}",
    guards=[require_scope(READ_ORDERS)],
    responses=LOOKUP_PROBLEMS,
    tags=["quotes"],
    summary="A price, and how it came there",
)
async def get_quote(
    services: AppServices,
    *,
    symbol: str,
    interval: Interval = "1m",
    count: Annotated[int, Parameter(ge=0, le=MAX_CANDLES)] = 60,
    at: datetime | None = None,
) -> QuoteView:
    if at is not None and at.tzinfo is None:
        raise SignalHubError("invalid_request", "at needs a time zone, such as a final Z.")
    if at is not None and not _MIN_TIME < at < _MAX_TIME:
        raise SignalHubError("invalid_request", f"at: prices are from {_MIN_TIME.year} to {_MAX_TIME.year - 1}.")
    time = datetime.now(UTC) if at is None else at.astimezone(UTC)
    candle_length = timedelta(seconds=int(interval[:-1]) * _SECONDS_PER_UNIT[interval[-1]])
    try:
        # On a thread: hundreds of candles of a day each take a while, and other requests must not wait for them.
        return await asyncio.to_thread(services.quotes.get_quote, symbol, time, candle_length, count)
    except LookupError:
        raise SignalHubError("not_found", "That is no symbol.") from None


ROUTES: Final = Router("/", route_handlers=[get_quote])
