"""Orders: pages, one, its events; cancel and close; the log and what came of a signal.

Orders in the words of the older clients.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from litestar import Controller, Request, Response, Router, get, post

from db.event_log import StoredEvent
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import OrderView, to_order_view
from signalhub.domain.order import Order, Status
from signalhub.services.analytics import Analytics
from signalhub.services.analytics import compute_analytics as sums
from signalhub.services.auth import READ_ORDERS, WRITE_ORDERS
from signalhub.services.queries import MAX_PAGE_SIZE, Filters, StoredSignal, parse_id
from signalhub.streams import event_filter
from signalhub.streams.subscription import parse_cursor_seq, resolve_cursor
from signalhub.web.auth import authenticate
from signalhub.web.dependencies import get_services
from signalhub.web.openapi import (
    CHANGE_PROBLEMS,
    LIST_PROBLEMS,
    LOOKUP_PROBLEMS,
    READ_PROBLEMS,
    EventPageDocument,
    OrderEventsDocument,
    response_specs,
)
from signalhub.web.problems import JSON_MEDIA_TYPE

AnyRequest = Request[Any, Any, Any]

_RESET_MESSAGES: Final = {
    "malformed": "after is a seq or an <epoch>-<seq>; the log ends at %d.",
    "epoch": "after is of another epoch: load the orders anew, and go on after %d.",
    "future": "after is beyond the end of the log: load the orders anew, and go on after %d.",
}


class OrderPage(msgspec.Struct, frozen=True):
    items: list[OrderView]
    next_cursor: str | None


class Receipt(msgspec.Struct, frozen=True):
    """`stages` is, by event type, the milliseconds since the signal was received."""

    signal: StoredSignal
    events: list[msgspec.Raw]
    stages: dict[str, float]


class OrderController(Controller):
    path = "/api/v1/orders"
    tags = ("orders",)

    @get(responses=LIST_PROBLEMS, summary="A page of orders, newest first")
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
        who = (await authenticate(request)).require_scope(READ_ORDERS)
        if since is not None and since.tzinfo is None:
            raise SignalHubError("invalid_request", "since needs a time zone, such as a final Z.")
        wanted = Filters(status=status, symbol=symbol, since=since, limit=limit, cursor=cursor)
        items, following = await get_services(request).queries.list_orders(who.account_id, wanted)
        return OrderPage([to_order_view(order) for order in items], following)

    @get("/{order_id:str}", responses=LOOKUP_PROBLEMS, summary="One order")
    async def one(self, request: AnyRequest, order_id: str) -> OrderView:
        who = (await authenticate(request)).require_scope(READ_ORDERS)
        return to_order_view(await get_services(request).queries.get_order(who.account_id, order_id))

    @get(
        "/{order_id:str}/events",
        responses=response_specs(200, OrderEventsDocument) | LOOKUP_PROBLEMS,
        summary="Everything that happened to an order",
    )
    async def events(self, request: AnyRequest, order_id: str) -> Response[bytes]:
        who = (await authenticate(request)).require_scope(READ_ORDERS)
        lines = await get_services(request).queries.list_order_events(who.account_id, order_id)
        return Response(b'{"items":[%b]}' % join_event_bodies(lines), media_type=JSON_MEDIA_TYPE)

    @post("/{order_id:str}/cancel", status_code=200, responses=CHANGE_PROBLEMS, summary="Cancel a pending order")
    async def cancel(self, request: AnyRequest, order_id: str) -> OrderView:
        who = (await authenticate(request)).require_scope(WRITE_ORDERS)
        return to_order_view(await get_services(request).order_commands.cancel(who.account_id, parse_id(order_id)))

    @post(
        "/{order_id:str}/close", status_code=200, responses=CHANGE_PROBLEMS, summary="Close an executed order at market"
    )
    async def close(self, request: AnyRequest, order_id: str) -> OrderView:
        who = (await authenticate(request)).require_scope(WRITE_ORDERS)
        return to_order_view(await get_services(request).order_commands.close(who.account_id, parse_id(order_id)))


@get(
    "/api/v1/events",
    responses=response_specs(200, EventPageDocument) | LIST_PROBLEMS,
    tags=["events"],
    summary="A page of the log, oldest first",
)
async def list_events(
    request: AnyRequest, *, after: str = "0", limit: int = 100, types: str | None = None
) -> Response[bytes]:
    who = (await authenticate(request)).require_scope(READ_ORDERS)
    if after.startswith("-") or not 1 <= limit <= MAX_PAGE_SIZE:
        raise SignalHubError("invalid_request", f"after must not be negative, limit from 1 to {MAX_PAGE_SIZE}.")
    epoch, seq = get_services(request).relay.epoch, parse_cursor_seq(after) or 0
    page = await get_services(request).queries.page_events(
        who.account_id, seq, limit, event_filter.select_types(types) if types else None
    )
    begin = resolve_cursor(after or "0", epoch=epoch, head=page.head)
    if begin.reset_reason is not None:
        raise SignalHubError("bad_cursor", _RESET_MESSAGES[begin.reset_reason] % page.head)
    gap = b',"gap":{"first":%d,"last":%d}' % (seq + 1, page.last_pruned_seq) if page.last_pruned_seq > seq else b""
    body = b'{"items":[%b],"epoch":"%b","head":%d%b}' % (join_event_bodies(page.events), epoch.encode(), page.head, gap)
    return Response(body, media_type=JSON_MEDIA_TYPE)


@get("/api/v1/receipts/{signal_id:str}", responses=LOOKUP_PROBLEMS, tags=["signals"], summary="A signal's whole story")
async def receipt(request: AnyRequest, signal_id: str) -> Receipt:
    who = (await authenticate(request)).require_scope(READ_ORDERS)
    line, lines = await get_services(request).queries.get_signal_with_events(who.account_id, signal_id)
    return Receipt(line, [msgspec.Raw(one.body) for one in lines], _measure_stages(line, lines))


@get(["/analytics", "/api/v1/analytics"], responses=READ_PROBLEMS, tags=["orders"], summary="Counts and results")
async def analytics(request: AnyRequest) -> Analytics:
    who = (await authenticate(request)).require_scope(READ_ORDERS)
    return await sums(get_services(request).engine, who.account_id)


def join_event_bodies(events: list[StoredEvent]) -> bytes:
    """The events as they are, between commas: decoding them only to encode them again could change a byte."""
    return b",".join(line.body for line in events)


class _EventTime(msgspec.Struct):
    at: datetime


def _measure_stages(signal: StoredSignal, events: list[StoredEvent]) -> dict[str, float]:
    begin = datetime.fromisoformat(signal.received_at)
    whens = ((line.type, msgspec.json.decode(line.body, type=_EventTime).at) for line in events)
    return {type_: round((at - begin).total_seconds() * 1000, 3) for type_, at in whens}


_MAX_LEGACY_ORDERS: Final = 10_000
"""These clients know no pages: they get their orders in one list, the newest so many."""


class LegacyOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order in the words of the older clients. They know one take profit: the first."""

    id: str
    action: str
    instrument: str
    entry_price: str | None
    stop_loss: str
    take_profit: str
    status: str
    fake_order_id: str | None
    created_at: str
    updated_at: str


def to_legacy_order(order: Order) -> LegacyOrder:
    shown: OrderView = to_order_view(order)
    return LegacyOrder(
        id=shown.id,
        action=shown.side,
        instrument=shown.symbol,
        entry_price=shown.entry,
        stop_loss=shown.stop_loss,
        take_profit=shown.take_profits[0],
        status=shown.status,
        fake_order_id=shown.broker_order_id,
        created_at=shown.created_at,
        updated_at=shown.updated_at,
    )


@get("/orders", responses=READ_PROBLEMS, tags=["older clients"], summary="Orders (older shape)")
async def list_orders(request: AnyRequest) -> list[LegacyOrder]:
    who = (await authenticate(request)).require_scope(READ_ORDERS)
    found: list[Order] = []
    cursor = None
    while len(found) < _MAX_LEGACY_ORDERS:
        page, cursor = await get_services(request).queries.list_orders(
            who.account_id, Filters(limit=MAX_PAGE_SIZE, cursor=cursor)
        )
        found += page
        if cursor is None:
            break
    return [to_legacy_order(order) for order in found]


@get("/orders/{order_id:str}", responses=LOOKUP_PROBLEMS, tags=["older clients"], summary="One order (older shape)")
async def one_order(request: AnyRequest, order_id: str) -> LegacyOrder:
    who = (await authenticate(request)).require_scope(READ_ORDERS)
    return to_legacy_order(await get_services(request).queries.get_order(who.account_id, order_id))


ROUTES: Final = Router("/", route_handlers=[OrderController, list_events, receipt, analytics, list_orders, one_order])
