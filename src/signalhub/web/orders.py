"""Orders: pages, one, its events; cancel and close; the log and what came of a signal."""

from datetime import datetime
from typing import Any, Final

import msgspec
from litestar import Controller, Request, Response, Router, get, post

from db.log import Line
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import OrderView, order_view
from signalhub.domain.order import Status
from signalhub.services.analytics import Analytics
from signalhub.services.analytics import analytics as sums
from signalhub.services.principal import READ_ORDERS, WRITE_ORDERS
from signalhub.services.views import MOST, Filters, SignalLine, an_id
from signalhub.streams import cursor, filters
from signalhub.web.callers import caller
from signalhub.web.house import house
from signalhub.web.openapi import (
    CHANGES,
    FINDS,
    LISTS,
    READS,
    EventPageDocument,
    OrderEventsDocument,
    answers,
)
from signalhub.web.problems import JSON

AnyRequest = Request[Any, Any, Any]

_RESETS: Final = {
    "malformed": "after is a seq or an <epoch>-<seq>; the log ends at %d.",
    "epoch": "after is of another epoch: load the orders anew, and go on after %d.",
    "future": "after is beyond the end of the log: load the orders anew, and go on after %d.",
}


class OrderPage(msgspec.Struct, frozen=True):
    items: list[OrderView]
    next_cursor: str | None


class Receipt(msgspec.Struct, frozen=True):
    """`stages` is, by event type, the milliseconds since the signal was received."""

    signal: SignalLine
    events: list[msgspec.Raw]
    stages: dict[str, float]


class OrderController(Controller):
    path = "/api/v1/orders"
    tags = ("orders",)

    @get(responses=LISTS, summary="A page of orders, newest first")
    async def list_orders(  # noqa: PLR0913 - as many as there are filters
        self,
        request: AnyRequest,
        *,
        status: Status | None = None,
        symbol: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> OrderPage:
        who = (await caller(request)).need(READ_ORDERS)
        if since is not None and since.tzinfo is None:
            raise SignalHubError("invalid_request", "since needs a time zone, such as a final Z.")
        wanted = Filters(status=status, symbol=symbol, since=since, limit=limit, cursor=cursor)
        items, following = await house(request).views.orders(who.account_id, wanted)
        return OrderPage([order_view(order) for order in items], following)

    @get("/{order_id:str}", responses=FINDS, summary="One order")
    async def one(self, request: AnyRequest, order_id: str) -> OrderView:
        who = (await caller(request)).need(READ_ORDERS)
        return order_view(await house(request).views.order(who.account_id, order_id))

    @get(
        "/{order_id:str}/events",
        responses=answers(200, OrderEventsDocument) | FINDS,
        summary="Everything that happened to an order",
    )
    async def events(self, request: AnyRequest, order_id: str) -> Response[bytes]:
        who = (await caller(request)).need(READ_ORDERS)
        lines = await house(request).views.order_events(who.account_id, order_id)
        return Response(b'{"items":[%b]}' % joined(lines), media_type=JSON)

    @post("/{order_id:str}/cancel", status_code=200, responses=CHANGES, summary="Cancel a pending order")
    async def cancel(self, request: AnyRequest, order_id: str) -> OrderView:
        who = (await caller(request)).need(WRITE_ORDERS)
        return order_view(await house(request).commands.cancel(who.account_id, an_id(order_id)))

    @post("/{order_id:str}/close", status_code=200, responses=CHANGES, summary="Close an executed order at market")
    async def close(self, request: AnyRequest, order_id: str) -> OrderView:
        who = (await caller(request)).need(WRITE_ORDERS)
        return order_view(await house(request).commands.close(who.account_id, an_id(order_id)))


@get(
    "/api/v1/events",
    responses=answers(200, EventPageDocument) | LISTS,
    tags=["events"],
    summary="A page of the log, oldest first",
)
async def list_events(
    request: AnyRequest, *, after: str = "0", limit: int = 100, types: str | None = None
) -> Response[bytes]:
    who = (await caller(request)).need(READ_ORDERS)
    if after.startswith("-") or not 1 <= limit <= MOST:
        raise SignalHubError("invalid_request", f"after must not be negative, limit from 1 to {MOST}.")
    epoch, seq = house(request).relay.epoch, cursor.place(after) or 0
    page = await house(request).views.events(who.account_id, seq, limit, filters.selected(types) if types else None)
    begin = cursor.start(after or "0", epoch=epoch, head=page.head)
    if begin.reset is not None:
        raise SignalHubError("bad_cursor", _RESETS[begin.reset] % page.head)
    gap = b',"gap":{"first":%d,"last":%d}' % (seq + 1, page.pruned) if page.pruned > seq else b""
    body = b'{"items":[%b],"epoch":"%b","head":%d%b}' % (joined(page.lines), epoch.encode(), page.head, gap)
    return Response(body, media_type=JSON)


@get("/api/v1/receipts/{signal_id:str}", responses=FINDS, tags=["signals"], summary="A signal's whole story")
async def receipt(request: AnyRequest, signal_id: str) -> Receipt:
    who = (await caller(request)).need(READ_ORDERS)
    line, lines = await house(request).views.receipt(who.account_id, signal_id)
    return Receipt(line, [msgspec.Raw(one.body) for one in lines], _stages(line, lines))


@get(["/analytics", "/api/v1/analytics"], responses=READS, tags=["orders"], summary="Counts and results")
async def analytics(request: AnyRequest) -> Analytics:
    who = (await caller(request)).need(READ_ORDERS)
    return await sums(house(request).engine, who.account_id)


def joined(lines: list[Line]) -> bytes:
    """The events as they are, between commas: decoding them only to encode them again could change a byte."""
    return b",".join(line.body for line in lines)


class _When(msgspec.Struct):
    at: datetime


def _stages(signal: SignalLine, lines: list[Line]) -> dict[str, float]:
    begin = datetime.fromisoformat(signal.received_at)
    whens = ((line.type, msgspec.json.decode(line.body, type=_When).at) for line in lines)
    return {type_: round((at - begin).total_seconds() * 1000, 3) for type_, at in whens}


ROUTES: Final = Router("/", route_handlers=[OrderController, list_events, receipt, analytics])
