"""Reading: pages, older shapes, receipts, sums; and never another account's."""

from decimal import Decimal
from typing import Any

import pytest

from tests.kit import texts
from tests.kit.hub import RunningApp
from tests.kit.trader import AccountClient

ORDER = [
    "id", "signal_id", "side", "symbol", "order_type", "entry", "entry_high", "stop_loss", "take_profits", "quantity",
    "status", "reason", "broker_order_id", "fill_price", "filled_at", "close_price", "closed_at", "close_reason", "pnl",
    "r_multiple", "attempts", "next_attempt_at", "version", "created_at", "updated_at", "trace_id",
    "profile", "simulate", "expires_at", "filled_quantity", "remaining_quantity", "closes", "pnl_currency", "pnl_price",
    "pips", "mae", "mfe", "commission",
]  # fmt: skip
LEGACY = [
    "id", "action", "instrument", "entry_price", "stop_loss", "take_profit", "status", "fake_order_id", "created_at",
    "updated_at",
]  # fmt: skip


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_order_has_all_its_fields(trader: AccountClient, slash: str) -> None:
    sent = await trader.send_signal()
    order = await trader.get(f"/api/v1/orders/{sent['order_id']}{slash}")
    assert list(order) == ORDER
    assert (await trader.get(f"/api/v1/orders{slash}"))["items"] == [order]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_older_clients_get_their_shapes(hub: RunningApp, trader: AccountClient, slash: str) -> None:
    sent = await trader.send_signal()
    await hub.advance_order(sent["order_id"])
    (order,) = await trader.get(f"/orders{slash}")
    assert list(order) == LEGACY
    assert order == await trader.get(f"/orders/{sent['order_id']}{slash}")
    assert (order["action"], order["instrument"], order["status"]) == ("BUY", "EURUSD", "executed")
    assert (order["entry_price"], order["stop_loss"], order["take_profit"]) == ("1.0860", "1.0850", "1.0890")
    assert order["fake_order_id"] == (await trader.get_order(sent["order_id"]))["broker_order_id"]


async def _pages(trader: AccountClient, path: str, limit: int) -> list[Any]:
    found, cursor = [], None
    while True:
        page = await trader.get(path, limit=limit, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= limit
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("path", ["/api/v1/orders", "/api/v1/signals"])
async def test_pages_cover_everything_once_newest_first(trader: AccountClient, path: str) -> None:
    sent = [await trader.send_signal(texts.make_buy_text(number)) for number in range(7)]
    ids = [one["order_id" if "orders" in path else "signal_id"] for one in sent]
    for limit in (1, 3, 7, 100):
        assert [one["id"] for one in await _pages(trader, path, limit)] == ids[::-1]


async def test_what_comes_in_while_one_turns_pages_shifts_nothing(trader: AccountClient) -> None:
    ids = [(await trader.send_signal(texts.make_buy_text(number)))["order_id"] for number in range(6)]
    first = await trader.get("/api/v1/orders", limit=2)
    await trader.send_signal(texts.make_buy_text(99))
    second = await trader.get("/api/v1/orders", limit=2, cursor=first["next_cursor"])
    await trader.send_signal(texts.make_buy_text(98))
    third = await trader.get("/api/v1/orders", limit=2, cursor=second["next_cursor"])
    shown = [one["id"] for page in (first, second, third) for one in page["items"]]
    assert shown == ids[::-1]
    assert third["next_cursor"] is None


async def test_orders_are_found_by_status_symbol_and_time(hub: RunningApp, trader: AccountClient) -> None:
    first, second = await trader.send_signal(texts.BUY), await trader.send_signal(texts.SELL)
    await hub.advance_order(first["order_id"])

    async def ids(**filters: str) -> list[str]:
        return [one["id"] for one in (await trader.get("/api/v1/orders", **filters))["items"]]

    assert await ids(status="executed") == [first["order_id"]]
    assert await ids(status="pending") == [second["order_id"]]
    assert await ids(symbol="gbpusd") == [second["order_id"]]
    assert await ids(symbol="GBPUSD", status="closed") == []
    since = (await trader.get_order(second["order_id"]))["created_at"]
    assert await ids(since=since) == [second["order_id"]]


async def test_a_page_of_the_log_says_where_the_log_ends(trader: AccountClient) -> None:
    for number in range(4):
        await trader.send_signal(texts.make_buy_text(number))
    page = await trader.get("/api/v1/events", after=2, limit=3)
    assert list(page) == ["items", "epoch", "head"]
    assert [event["seq"] for event in page["items"]] == [3, 4, 5]
    assert page["head"] == 9
    assert [event["type"] for event in await trader.list_events(types="order.*")] == ["order.pending"] * 4
    assert (await trader.get("/api/v1/events", after=9))["items"] == []


async def test_an_order_tells_its_own_story(hub: RunningApp, trader: AccountClient) -> None:
    sent, _ = await trader.send_signal(texts.BUY), await trader.send_signal(texts.SELL)
    await hub.advance_order(sent["order_id"])
    events = (await trader.get(f"/api/v1/orders/{sent['order_id']}/events"))["items"]
    assert [event["type"] for event in events] == ["order.pending", "order.executed"]
    assert events[-1]["data"] == {
        **await trader.get_order(sent["order_id"]),
        "created_at": events[-1]["data"]["created_at"],
    }


async def test_a_receipt_tells_the_whole_story_of_a_signal(hub: RunningApp, trader: AccountClient) -> None:
    sent = await trader.send_signal()
    await hub.advance_order(sent["order_id"])
    receipt = await trader.get(f"/api/v1/receipts/{sent['signal_id']}")
    assert receipt["signal"]["raw"] == texts.BUY
    assert receipt["signal"]["answer"]["order_id"] == sent["order_id"]
    types = ["signal.accepted", "order.pending", "order.executed"]
    assert [event["type"] for event in receipt["events"]] == types
    assert list(receipt["stages"]) == types
    assert all(ms >= 0 for ms in receipt["stages"].values())
    assert {event["trace_id"] for event in receipt["events"]} == {sent["trace_id"]}


@pytest.mark.parametrize("path", ["/analytics", "/analytics/", "/api/v1/analytics"])
async def test_the_sums_are_those_of_the_orders(hub: RunningApp, trader: AccountClient, path: str) -> None:
    sent = await trader.send_signal()
    await trader.send_signal(texts.SELL)
    await trader.request("POST", "/api/v1/signals", content=texts.MISSING_STOP)
    for _ in range(2):
        await hub.advance_order(sent["order_id"])
    closed = await trader.get_order(sent["order_id"])
    sums = await trader.get(path)
    assert (sums["total_signals"], sums["rejected_signals"], sums["total_orders"], sums["closed"]) == (3, 1, 2, 1)
    assert (sums["by_status"]["pending"], sums["by_status"]["closed"]) == (1, 1)
    (eurusd,) = [one for one in sums["symbols"] if one["symbol"] == "EURUSD"]
    assert (eurusd["pnl"], eurusd["mean_r"]) == (closed["pnl"], closed["r_multiple"])
    assert eurusd["wins"] == int(Decimal(closed["pnl"]) > 0)


async def test_an_account_that_has_done_nothing_has_sums_too(trader: AccountClient) -> None:
    sums = await trader.get("/analytics/")
    assert (sums["total_orders"], sums["win_rate"], sums["symbols"]) == (0, None, [])


FOREIGN = [
    ("GET", "/api/v1/orders/{order}"),
    ("GET", "/api/v1/orders/{order}/events"),
    ("POST", "/api/v1/orders/{order}/cancel"),
    ("POST", "/api/v1/orders/{order}/close"),
    ("GET", "/orders/{order}/"),
    ("GET", "/api/v1/receipts/{signal}"),
]


@pytest.mark.parametrize(("method", "path"), FOREIGN)
async def test_another_account_s_order_is_not_there(
    trader: AccountClient, stranger: AccountClient, method: str, path: str
) -> None:
    sent = await trader.send_signal()
    path = path.format(order=sent["order_id"], signal=sent["signal_id"])
    response = await stranger.request(method, path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert (await trader.get_order(sent["order_id"]))["status"] == "pending"


async def test_another_account_s_things_are_in_no_list(trader: AccountClient, stranger: AccountClient) -> None:
    sent = await trader.send_signal()
    for path in ("/api/v1/orders", "/api/v1/signals", "/api/v1/events", "/orders/", "/api/v1/keys", "/api/v1/hooks"):
        shown = str(await stranger.get(path))
        assert not [one for one in (sent["order_id"], sent["signal_id"], trader.id) if one in shown]
    page = await stranger.get("/api/v1/orders", cursor=sent["order_id"])
    assert page == {"items": [], "next_cursor": None}


async def test_cancel_and_close_move_an_order_once(hub: RunningApp, trader: AccountClient) -> None:
    one, two = await trader.send_signal(texts.BUY), await trader.send_signal(texts.SELL)
    early = await trader.request("POST", f"/api/v1/orders/{one['order_id']}/close")
    assert (early.status_code, early.json()["code"]) == (409, "illegal_transition")
    assert (await trader.post(f"/api/v1/orders/{one['order_id']}/cancel"))["status"] == "cancelled"
    assert (await trader.request("POST", f"/api/v1/orders/{one['order_id']}/cancel")).status_code == 409
    await hub.advance_order(two["order_id"])
    assert (await trader.request("POST", f"/api/v1/orders/{two['order_id']}/cancel")).status_code == 409
    closed = await trader.post(f"/api/v1/orders/{two['order_id']}/close")
    assert (closed["status"], closed["close_reason"]) == ("closed", "manual")
    types = [event["type"] for event in await trader.list_events(types="order.*")]
    assert types == ["order.pending", "order.pending", "order.cancelled", "order.executed", "order.closed"]


async def test_health_and_metrics_need_no_key(hub: RunningApp) -> None:
    for path in ("/health", "/health/", "/health/live", "/health/ready", "/metrics", "/schema/openapi.json"):
        assert (await hub.http.get(path)).status_code == 200, path
    ready = (await hub.http.get("/health/ready")).json()
    assert ready == {
        "status": "ok", "database": True, "redis": True, "migrations": True, "relay": True, "workers": False
    }  # fmt: skip
    assert set((await hub.http.get("/health/")).json()) >= {"status", "timestamp"}
