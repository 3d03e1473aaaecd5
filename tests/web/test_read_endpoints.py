"""Endpoints that read: pages, legacy shapes, receipts, analytics; only of the own account."""

import asyncio
import itertools
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp

ORDER_FIELDS = [
    "id", "signal_id", "side", "symbol", "order_type", "entry", "entry_high", "stop_loss", "take_profits", "quantity",
    "status", "reason", "broker_order_id", "fill_price", "filled_at", "close_price", "closed_at", "close_reason", "pnl",
    "r_multiple", "attempts", "next_attempt_at", "version", "created_at", "updated_at", "trace_id",
    "profile", "simulate", "expires_at", "filled_quantity", "remaining_quantity", "closes", "pnl_currency", "pnl_price",
    "pips", "mae", "mfe", "commission", "interruptions",
]  # fmt: skip
LEGACY_ORDER_FIELDS = [
    "id", "action", "instrument", "entry_price", "stop_loss", "take_profit", "status", "fake_order_id", "created_at",
    "updated_at",
]  # fmt: skip


@pytest.mark.parametrize("slash", ["", "/"])
async def test_order_has_all_fields(account: AccountClient, slash: str) -> None:
    sent = await account.send_signal()
    order = await account.get(f"/api/v1/orders/{sent['order_id']}{slash}")
    assert list(order) == ORDER_FIELDS
    assert (await account.get(f"/api/v1/orders{slash}"))["items"] == [order]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_legacy_paths_return_legacy_shapes(app: RunningApp, account: AccountClient, slash: str) -> None:
    sent = await account.send_signal()
    await app.advance_order(sent["order_id"])
    (order,) = await account.get(f"/orders{slash}")
    assert list(order) == LEGACY_ORDER_FIELDS
    assert order == await account.get(f"/orders/{sent['order_id']}{slash}")
    assert (order["action"], order["instrument"], order["status"]) == ("BUY", "EURUSD", "executed")
    assert (order["entry_price"], order["stop_loss"], order["take_profit"]) == ("1.0860", "1.0850", "1.0890")
    assert order["fake_order_id"] == (await account.get_order(sent["order_id"]))["broker_order_id"]


async def test_legacy_orders_have_pages(account: AccountClient) -> None:
    sent = [await account.send_signal(signal_texts.make_buy_text(number)) for number in range(5)]
    pages, url = [], "/orders/?limit=2"
    while url:
        response = await account.request("GET", url)
        pages.append([order["id"] for order in response.json()])
        url = response.links["next"]["url"] if "link" in response.headers else ""
    ids = [body["order_id"] for body in sent][::-1]
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    whole = await account.request("GET", "/orders/")
    assert ([order["id"] for order in whole.json()], "link" in whole.headers) == (ids, False)


async def _read_pages(account: AccountClient, path: str, limit: int) -> list[Any]:
    items, cursor = [], None
    while True:
        page = await account.get(path, limit=limit, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


@pytest.mark.parametrize("path", ["/api/v1/orders", "/api/v1/signals"])
async def test_pages_return_every_item_once_newest_first(account: AccountClient, path: str) -> None:
    sent = [await account.send_signal(signal_texts.make_buy_text(number)) for number in range(7)]
    ids = [body["order_id" if "orders" in path else "signal_id"] for body in sent]
    for limit in (1, 3, 7, 100):
        assert [item["id"] for item in await _read_pages(account, path, limit)] == ids[::-1]


async def test_new_items_do_not_shift_pages(account: AccountClient) -> None:
    ids = [(await account.send_signal(signal_texts.make_buy_text(number)))["order_id"] for number in range(6)]
    first = await account.get("/api/v1/orders", limit=2)
    await account.send_signal(signal_texts.make_buy_text(99))
    second = await account.get("/api/v1/orders", limit=2, cursor=first["next_cursor"])
    await account.send_signal(signal_texts.make_buy_text(98))
    third = await account.get("/api/v1/orders", limit=2, cursor=second["next_cursor"])
    shown = [item["id"] for page in (first, second, third) for item in page["items"]]
    assert shown == ids[::-1]
    assert third["next_cursor"] is None


async def test_orders_are_filtered_by_status_symbol_and_time(app: RunningApp, account: AccountClient) -> None:
    first, second = await account.send_signal(signal_texts.BUY), await account.send_signal(signal_texts.SELL)
    await app.advance_order(first["order_id"])

    async def list_ids(**filters: str) -> list[str]:
        return [order["id"] for order in (await account.get("/api/v1/orders", **filters))["items"]]

    assert await list_ids(status="executed") == [first["order_id"]]
    assert await list_ids(status="pending") == [second["order_id"]]
    assert await list_ids(symbol="gbpusd") == [second["order_id"]]
    assert await list_ids(symbol="GBPUSD", status="closed") == []
    since = (await account.get_order(second["order_id"]))["created_at"]
    assert await list_ids(since=since) == [second["order_id"]]


async def test_event_page_contains_head(account: AccountClient) -> None:
    for number in range(4):
        await account.send_signal(signal_texts.make_buy_text(number))
    page = await account.get("/api/v1/events", after=2, limit=3)
    assert list(page) == ["items", "epoch", "head"]
    assert [event["seq"] for event in page["items"]] == [3, 4, 5]
    assert page["head"] == 9
    assert [event["type"] for event in await account.list_events(types="order.*")] == ["order.pending"] * 4
    assert (await account.get("/api/v1/events", after=9))["items"] == []


async def test_order_events_are_listed(app: RunningApp, account: AccountClient) -> None:
    sent, _ = await account.send_signal(signal_texts.BUY), await account.send_signal(signal_texts.SELL)
    await app.advance_order(sent["order_id"])
    events = (await account.get(f"/api/v1/orders/{sent['order_id']}/events"))["items"]
    assert [event["type"] for event in events] == ["order.pending", "order.executed"]
    assert events[-1]["data"] == {
        **await account.get_order(sent["order_id"]),
        "created_at": events[-1]["data"]["created_at"],
    }


STAGES = ["received", "parsed", "committed", "enqueued", "claimed", "executed", "published", "delivered"]


async def test_receipt_contains_text_parse_order_events_and_stages(running_service_account: AccountClient) -> None:
    account = running_service_account
    async with account.open_sse() as stream:
        await stream.expect_ready()
        sent = await account.send_signal(f"{signal_texts.BUY}\nJoin us, 300 members")
        while (await stream.next_event()).event != "order.closed":
            pass
        receipt = await account.get(f"/api/v1/receipts/{sent['signal_id']}")
    assert receipt["signal"]["raw"].startswith(signal_texts.BUY)
    assert receipt["signal"]["answer"]["order_id"] == sent["order_id"]
    assert [ignored["text"] for ignored in receipt["parse"]["ignored"]] == ["Join us, 300 members"]
    assert receipt["order"] == await account.get_order(sent["order_id"])
    types = ["signal.accepted", "order.pending", "order.executed", "order.closed"]
    assert [event["type"] for event in receipt["events"]] == types
    assert {event["trace_id"] for event in receipt["events"]} == {sent["trace_id"]}
    assert list(receipt["stages"]) == STAGES
    times = [stage["ms"] for stage in receipt["stages"].values()]
    # Redis has whole milliseconds, and its own clock.
    assert all(later - earlier > -2 for earlier, later in itertools.pairwise(times)), times
    assert all(0 <= time + 2 < 20_000 for time in times), times


async def test_receipt_of_refused_signal_has_no_order_and_no_execution(account: AccountClient) -> None:
    await account.request("POST", "/api/v1/signals", content=signal_texts.MISSING_STOP)
    (signal,) = (await account.get("/api/v1/signals"))["items"]
    receipt = await account.get(f"/api/v1/receipts/{signal['id']}")
    assert receipt["order"] is None
    assert [problem["code"] for problem in receipt["parse"]["problems"]] == ["missing_sl"]
    missing = [name for name, stage in receipt["stages"].items() if stage is None]
    assert missing == ["enqueued", "claimed", "executed", "delivered"]


async def test_receipt_of_waiting_and_failing_order_shows_the_failure(app: RunningApp, account: AccountClient) -> None:
    sent = await account.send_signal(x_signalhub_simulate="fail=3 fill_after=0s")
    await app.advance_order(sent["order_id"])
    receipt = await account.get(f"/api/v1/receipts/{sent['signal_id']}")
    assert (receipt["order"]["attempts"], receipt["order"]["reason"]) == (1, "simulated_failure")
    assert receipt["stages"]["claimed"]["ms"] >= 0
    assert receipt["stages"]["executed"] is None
    waiting = await account.send_signal()
    stages = (await account.get(f"/api/v1/receipts/{waiting['signal_id']}"))["stages"]
    assert (stages["enqueued"], stages["claimed"]) == (None, None)


@pytest.mark.parametrize("path", ["/analytics", "/analytics/", "/api/v1/analytics"])
async def test_analytics_match_orders(app: RunningApp, account: AccountClient, path: str) -> None:
    sent = await account.send_signal()
    await account.send_signal(signal_texts.SELL)
    await account.request("POST", "/api/v1/signals", content=signal_texts.MISSING_STOP)
    for _ in range(2):
        await app.advance_order(sent["order_id"])
    closed = await account.get_order(sent["order_id"])
    analytics = await account.get(path)
    assert (
        analytics["total_signals"],
        analytics["rejected_signals"],
        analytics["total_orders"],
        analytics["closed"],
    ) == (3, 1, 2, 1)
    assert (analytics["by_status"]["pending"], analytics["by_status"]["closed"]) == (1, 1)
    (eurusd,) = [symbol for symbol in analytics["symbols"] if symbol["symbol"] == "EURUSD"]
    assert (eurusd["pnl"], eurusd["mean_r"]) == (closed["pnl"], closed["r_multiple"])
    assert eurusd["wins"] == int(Decimal(closed["pnl"]) > 0)


async def test_analytics_of_empty_account(account: AccountClient) -> None:
    analytics = await account.get("/analytics/")
    assert (analytics["total_orders"], analytics["win_rate"], analytics["symbols"]) == (0, None, [])


OWNED_PATHS = [
    ("GET", "/api/v1/orders/{order}"),
    ("GET", "/api/v1/orders/{order}/events"),
    ("POST", "/api/v1/orders/{order}/cancel"),
    ("POST", "/api/v1/orders/{order}/close"),
    ("GET", "/orders/{order}/"),
    ("GET", "/api/v1/receipts/{signal}"),
]


@pytest.mark.parametrize(("method", "path"), OWNED_PATHS)
async def test_order_of_another_account_is_not_found(
    account: AccountClient, other_account: AccountClient, method: str, path: str
) -> None:
    sent = await account.send_signal()
    path = path.format(order=sent["order_id"], signal=sent["signal_id"])
    response = await other_account.request(method, path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert (await account.get_order(sent["order_id"]))["status"] == "pending"


async def test_lists_exclude_other_accounts(account: AccountClient, other_account: AccountClient) -> None:
    sent = await account.send_signal()
    for path in ("/api/v1/orders", "/api/v1/signals", "/api/v1/events", "/orders/", "/api/v1/keys", "/api/v1/hooks"):
        shown = str(await other_account.get(path))
        assert not [id_ for id_ in (sent["order_id"], sent["signal_id"], account.id) if id_ in shown]
    page = await other_account.get("/api/v1/orders", cursor=sent["order_id"])
    assert page == {"items": [], "next_cursor": None}


async def test_cancel_and_close_apply_once(app: RunningApp, account: AccountClient) -> None:
    pending, executed = await account.send_signal(signal_texts.BUY), await account.send_signal(signal_texts.SELL)
    early = await account.request("POST", f"/api/v1/orders/{pending['order_id']}/close")
    assert (early.status_code, early.json()["code"]) == (409, "illegal_transition")
    assert (await account.post(f"/api/v1/orders/{pending['order_id']}/cancel"))["status"] == "cancelled"
    assert (await account.request("POST", f"/api/v1/orders/{pending['order_id']}/cancel")).status_code == 409
    await app.advance_order(executed["order_id"])
    assert (await account.request("POST", f"/api/v1/orders/{executed['order_id']}/cancel")).status_code == 409
    closed = await account.post(f"/api/v1/orders/{executed['order_id']}/close")
    assert (closed["status"], closed["close_reason"]) == ("closed", "manual")
    types = [event["type"] for event in await account.list_events(types="order.*")]
    assert types == ["order.pending", "order.pending", "order.cancelled", "order.executed", "order.closed"]


async def test_health_and_metrics_require_no_key(app: RunningApp) -> None:
    for path in ("/health", "/health/", "/health/live", "/health/ready", "/metrics", "/schema/openapi.json"):
        assert (await app.http.get(path)).status_code == 200, path
    ready = (await app.http.get("/health/ready")).json()
    assert ready == {
        "status": "ok", "reason": "",
        "database": True, "redis": True, "migrations": True, "relay": True, "workers": False,
    }  # fmt: skip
    assert set((await app.http.get("/health/")).json()) >= {"status", "timestamp"}


async def test_concurrent_readiness_checks_share_their_reads(app: RunningApp) -> None:
    """Without a credential they must not take every connection to the database from the signals."""
    count_waiting = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST('alembic_version' AS regclass)"
    )
    async with app.services.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        checks = [asyncio.create_task(app.http.get("/health/ready")) for _ in range(30)]
        counts = []
        while not all(check.done() for check in checks):
            counts.append((await connection.execute(count_waiting)).scalar_one())
            await asyncio.sleep(0.05)
    assert max(counts) == 1
