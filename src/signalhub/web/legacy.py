"""Orders in the words of the older clients."""

from typing import Any, Final

import msgspec
from litestar import Request, Router, get

from signalhub.domain.events import OrderView, to_order_view
from signalhub.domain.order import Order
from signalhub.services.principal import READ_ORDERS
from signalhub.services.views import MAX_PAGE_SIZE, Filters
from signalhub.web.callers import authenticate
from signalhub.web.house import get_services
from signalhub.web.openapi import LOOKUP_PROBLEMS, READ_PROBLEMS

AnyRequest = Request[Any, Any, Any]

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


ROUTES: Final = Router("/", route_handlers=[list_orders, one_order])
