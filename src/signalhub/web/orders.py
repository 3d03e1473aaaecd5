"""Orders, the event log and analytics; and orders in the shape that the older clients know."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Controller, MediaType, Response, Router, get, post
from litestar.params import Parameter

from db.event_log import StoredEvent
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import OrderView, to_order_view
from signalhub.domain.order import Order, Status
from signalhub.services.analytics import Analytics, compute_analytics
from signalhub.services.auth import READ_ORDERS, WRITE_ORDERS
from signalhub.services.queries import MAX_PAGE_SIZE, Filters, parse_id
from signalhub.streams.subscription import parse_cursor_seq, resolve_cursor
from signalhub.web.auth import AppServices, Caller, require_scope
from signalhub.web.event_query import FILTER_PARAMETERS, read_criteria
from signalhub.web.openapi import (
    CHANGE_PROBLEMS,
    LIST_PROBLEMS,
    LOOKUP_PROBLEMS,
    READ_PROBLEMS,
    EventPageDocument,
    EventQueryOperation,
    LogCursor,
    OrderEventsDocument,
    PageCursor,
    PageSize,
    SymbolFilter,
    response_specs,
)
from signalhub.web.receipts import get_receipt
from signalhub.web.request_context import AnyRequest

_RESET_MESSAGES: Final = {
    "malformed": "after is a seq or an <epoch>-<seq>; the log ends at %d.",
    "epoch": "after is of another epoch: load the orders anew, and go on after %d.",
    "future": "after is beyond the end of the log: load the orders anew, and go on after %d.",
}


class OrderPage(msgspec.Struct, frozen=True):
    items: list[OrderView]
    next_cursor: str | None


class OrderController(Controller):
    path = "/api/v1/orders"
    tags = ("orders",)
    guards = (require_scope(READ_ORDERS),)

    @get(responses=LIST_PROBLEMS, summary="A page of orders, newest first")
    async def list_orders(  # noqa: PLR0913 - as many as there are filters
        self,
        services: AppServices,
        principal: Caller,
        *,
        status: Status | None = None,
        symbol: SymbolFilter = None,
        since: datetime | None = None,
        limit: PageSize = 50,
        cursor: PageCursor | None = None,
    ) -> OrderPage:
        if since is not None and since.tzinfo is None:
            raise SignalHubError("invalid_request", "since needs a time zone, such as a final Z.")
        filters = Filters(status=status, symbol=symbol, since=since, limit=limit, cursor=cursor)
        items, next_cursor = await services.queries.list_orders(principal.account_id, filters)
        return OrderPage([to_order_view(order) for order in items], next_cursor)

    @get(
        "/{order_id:str}",
        responses=LOOKUP_PROBLEMS,
        summary="One order",
    )
    async def get_order(self, services: AppServices, principal: Caller, order_id: str) -> OrderView:
        return to_order_view(await services.queries.get_order(principal.account_id, order_id))

    @get(
        "/{order_id:str}/events",
        responses=response_specs(200, OrderEventsDocument) | LOOKUP_PROBLEMS,
        summary="Everything that happened to an order",
    )
    async def list_order_events(self, services: AppServices, principal: Caller, order_id: str) -> Response[bytes]:
        events = await services.queries.list_order_events(principal.account_id, order_id)
        return Response(b'{"items":[%b]}' % join_event_bodies(events), media_type=MediaType.JSON)


class OrderCommandController(Controller):
    path = "/api/v1/orders"
    tags = ("orders",)
    guards = (require_scope(WRITE_ORDERS),)

    @post("/{order_id:str}/cancel", status_code=200, responses=CHANGE_PROBLEMS, summary="Cancel a pending order")
    async def cancel_order(self, services: AppServices, principal: Caller, order_id: str) -> OrderView:
        return to_order_view(await services.order_commands.cancel(principal.account_id, parse_id(order_id)))

    @post(
        "/{order_id:str}/close", status_code=200, responses=CHANGE_PROBLEMS, summary="Close an executed order at market"
    )
    async def close_order(self, services: AppServices, principal: Caller, order_id: str) -> OrderView:
        return to_order_view(await services.order_commands.close(principal.account_id, parse_id(order_id)))


@get(
    "/api/v1/events",
    operation_class=EventQueryOperation,
    query_parameters=FILTER_PARAMETERS,
    responses=response_specs(200, EventPageDocument) | LIST_PROBLEMS,
    tags=["events"],
    summary="A page of the log, oldest first",
)
async def list_events(
    request: AnyRequest,
    services: AppServices,
    principal: Caller,
    *,
    after: LogCursor = "0",
    limit: PageSize = 100,
) -> Response[bytes]:
    if after.startswith("-"):
        raise SignalHubError("invalid_request", "after must not be negative.")
    epoch, seq = services.relay.epoch, parse_cursor_seq(after) or 0
    criteria = await read_criteria(request, principal.account_id)
    page = await services.queries.page_events(principal.account_id, seq, limit, criteria)
    start = resolve_cursor(after or "0", epoch=epoch, head=page.head)
    if start.reset_reason is not None:
        raise SignalHubError("bad_cursor", _RESET_MESSAGES[start.reset_reason] % page.head)
    gap = b',"gap":{"first":%d,"last":%d}' % (seq + 1, page.last_pruned_seq) if page.last_pruned_seq > seq else b""
    body = b'{"items":[%b],"epoch":"%b","head":%d%b}' % (join_event_bodies(page.events), epoch.encode(), page.head, gap)
    return Response(body, media_type=MediaType.JSON)


@get("/api/v1/analytics", responses=READ_PROBLEMS, tags=["orders"], summary="Counts and results")
async def get_analytics(services: AppServices, principal: Caller) -> Analytics:
    return await compute_analytics(services.engine, principal.account_id)


@get("/analytics", responses=READ_PROBLEMS, tags=["older clients"], summary="Counts and results (older path)")
async def get_legacy_analytics(services: AppServices, principal: Caller) -> Analytics:
    return await compute_analytics(services.engine, principal.account_id)


def join_event_bodies(events: list[StoredEvent]) -> bytes:
    """Join the encoded events with commas: decoding and encoding them again could change a byte."""
    return b",".join(event.body for event in events)


_MAX_LEGACY_ORDERS: Final = 10_000
"""The older clients know no pages: without a limit they get this many of the newest orders in one list."""


class LegacyOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order in the shape of the older clients, which know one take profit: the first."""

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
    view: OrderView = to_order_view(order)
    return LegacyOrder(
        id=view.id,
        action=view.side,
        instrument=view.symbol,
        entry_price=view.entry,
        stop_loss=view.stop_loss,
        take_profit=next(iter(view.take_profits), ""),  # an order whose row cannot be read may have none
        status=view.status,
        fake_order_id=view.broker_order_id,
        created_at=view.created_at,
        updated_at=view.updated_at,
    )


@get("/orders", responses=LIST_PROBLEMS, tags=["older clients"], summary="Orders (older shape)")
async def list_legacy_orders(
    services: AppServices,
    principal: Caller,
    *,
    limit: Annotated[int, Parameter(ge=1, le=_MAX_LEGACY_ORDERS)] = _MAX_LEGACY_ORDERS,
    cursor: PageCursor | None = None,
) -> Response[list[LegacyOrder]]:
    """Return the newest orders; where there are more, the header `Link` has the address of the next ones."""
    orders: list[Order] = []
    while len(orders) < limit:
        page, cursor = await services.queries.list_orders(
            principal.account_id, Filters(limit=min(MAX_PAGE_SIZE, limit - len(orders)), cursor=cursor)
        )
        orders += page
        if cursor is None:
            break
    next_page = f"{services.settings.web.base_url}/orders/?limit={limit}&cursor={cursor}"
    headers = {} if cursor is None else {"Link": f'<{next_page}>; rel="next"'}
    return Response([to_legacy_order(order) for order in orders], headers=headers)


@get("/orders/{order_id:str}", responses=LOOKUP_PROBLEMS, tags=["older clients"], summary="One order (older shape)")
async def get_legacy_order(services: AppServices, principal: Caller, order_id: str) -> LegacyOrder:
    return to_legacy_order(await services.queries.get_order(principal.account_id, order_id))


_READ_ROUTES: Final = Router(
    "/",
    route_handlers=[
        list_events,
        get_receipt,
        get_analytics,
        get_legacy_analytics,
        list_legacy_orders,
        get_legacy_order,
    ],
    guards=[require_scope(READ_ORDERS)],
)
ROUTES: Final = Router(
    "/",
    route_handlers=[OrderController, OrderCommandController, _READ_ROUTES],
)
