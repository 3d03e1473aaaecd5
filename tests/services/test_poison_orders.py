"""An order that cannot be advanced or read ends with a reason, alone: the others of its batch and page go on."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from signalhub.brokers.base import BrokerError
from signalhub.domain.order import Executed, Order
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.lifecycle_harness import LifecycleHarness
from tests.kit.running_app import RunningApp
from tests.kit.scripted_broker import ScriptedBroker

FILL = Executed(Decimal("1.0860"), "b-1")
BUG = ValueError("bug")
_PART = '[{"price": "%s", "quantity": "%s", "reason": "manual", "at": "2026-01-01T00:00:00Z"}]'
UNREADABLE_COLUMNS = [
    "closes = '{garbage'",
    "closes = repeat('[{\"x\"\\:', 5000)",
    f"closes = '{_PART % (1, 'sNaN')}'",
    f"closes = '{_PART % ('Infinity', 1)}'",
    "status = 'odd'",
    "side = 'UP'",
    "take_profits = '{}'",
    "take_profits = '{NULL}'",
    "take_profits = '{{1,2},{3,4}}'",
    "quantity = 'NaN'",
    "stop_loss = 'Infinity'",
    "entry = '-Infinity'",
    "created_at = '4713-01-01 BC'",
    "updated_at = '20000-01-01'",
    "expires_at = 'infinity'",
    "next_attempt_at = '-infinity'",
    "closed_at = '0001-01-01'",
    "fill_price = 1, status = 'executed', filled_at = '294276-12-31'",
    "version = 2147483647",
]


async def _accept_three(harness: LifecycleHarness) -> list[str]:
    return [await harness.accept(signal_texts.make_buy_text(number)) for number in range(3)]


async def _read_statuses(account: AccountClient, order_ids: list[str]) -> list[tuple[str, str | None]]:
    orders = [await account.get_order(order_id) for order_id in order_ids]
    return [(order["status"], order["reason"]) for order in orders]


async def test_position_whose_broker_always_raises_is_given_up(app: RunningApp, account: AccountClient) -> None:
    types, order = await LifecycleHarness(app, account, (FILL, *(BUG,) * 9)).run()
    assert types == ["order.pending", "order.executed", "order.retrying", "order.rejected"]
    assert (order["status"], order["reason"], order["next_attempt_at"]) == ("rejected", "broker_fault", None)
    assert order["fill_price"] == "1.0860"


async def test_position_is_not_given_up_for_one_fault_after_an_outage(app: RunningApp, account: AccountClient) -> None:
    outage = (BrokerError("venue_down", permanent=False),) * 5
    types, order = await LifecycleHarness(app, account, (FILL, *outage, BUG)).run()
    assert types == ["order.pending", "order.executed", *["order.retrying"] * 6, "order.closed"]
    assert order["status"] == "closed"


async def test_order_without_a_due_time_is_accepted_and_ends(app: RunningApp, account: AccountClient) -> None:
    class NeverDue(ScriptedBroker):
        def next_due(self, order: Order) -> datetime | None:
            raise ZeroDivisionError(order.id)

    harness = LifecycleHarness(app, account, broker=NeverDue(*(BUG,) * 9))
    types, order = await harness.run()
    assert types == ["order.pending", "order.retrying", "order.retrying", "order.rejected"]
    assert order["reason"] == "broker_fault"


async def test_order_that_the_database_refuses_ends_alone(app: RunningApp, account: AccountClient) -> None:
    """A broker may name a reason that cannot be stored, such as one with a NUL."""
    harness = LifecycleHarness(app, account, (BrokerError("a\0b", permanent=True),))
    order_ids = await _accept_three(harness)
    await harness.advance(*order_ids)
    statuses = await _read_statuses(account, order_ids)
    assert sorted(statuses, key=str) == [("closed", None), ("closed", None), ("rejected", "broker_fault")]


@pytest.mark.parametrize("assignment", UNREADABLE_COLUMNS)
async def test_unreadable_row_ends_alone(app: RunningApp, account: AccountClient, assignment: str) -> None:
    harness = LifecycleHarness(app, account)
    order_ids = await _accept_three(harness)
    await app.execute_sql(f"UPDATE orders SET {assignment} WHERE id = CAST(:id AS uuid)", id=order_ids[1])  # noqa: S608 - from here
    await harness.advance(*order_ids)
    assert await _read_statuses(account, order_ids) == [("closed", None), ("rejected", "unreadable"), ("closed", None)]
    assert await harness.lifecycle.advance(order_ids) is None
    events = (await account.get(f"/api/v1/orders/{order_ids[1]}/events"))["items"]
    assert [event["type"] for event in events] == ["order.pending", "order.rejected"]
    assert events[1]["data"]["reason"] == "unreadable"


@pytest.mark.parametrize("assignment", UNREADABLE_COLUMNS)
async def test_unreadable_row_does_not_hide_its_page(app: RunningApp, account: AccountClient, assignment: str) -> None:
    order_ids = await _accept_three(LifecycleHarness(app, account))
    await app.execute_sql(f"UPDATE orders SET {assignment} WHERE id = CAST(:id AS uuid)", id=order_ids[1])  # noqa: S608 - from here
    page: list[Any] = (await account.get("/api/v1/orders"))["items"]
    assert [(order["id"], order["reason"] == "unreadable") for order in page] == [
        (order_ids[2], False),
        (order_ids[1], True),
        (order_ids[0], False),
    ]
    assert [order["id"] for order in await account.get("/orders/")] == [order["id"] for order in page]
    assert await account.get_order(order_ids[1]) == page[1]
    assert (await account.get(f"/api/v1/receipts/{page[1]['signal_id']}"))["order"] == page[1]
    assert (await account.get(f"/api/v1/orders/{order_ids[1]}/events"))["items"]
    assert (await account.get("/api/v1/analytics"))["total_orders"] == len(order_ids)
    refused = await account.request("POST", f"/api/v1/orders/{order_ids[1]}/cancel")
    assert refused.status_code == httpx.codes.CONFLICT


@pytest.mark.parametrize("due_at", ["-infinity", "4713-01-01 BC"])
async def test_order_that_is_due_since_ever_is_advanced(app: RunningApp, account: AccountClient, due_at: str) -> None:
    harness = LifecycleHarness(app, account)
    order_ids = await _accept_three(harness)
    await app.execute_sql(f"UPDATE orders SET due_at = '{due_at}' WHERE id = CAST(:id AS uuid)", id=order_ids[1])  # noqa: S608 - from here
    await harness.advance(*order_ids)
    assert await _read_statuses(account, order_ids) == [("closed", None)] * 3


async def test_infinite_results_do_not_hide_analytics(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account)
    order_ids = await _accept_three(harness)
    await harness.advance(*order_ids)
    for order_id, result in zip(order_ids, ("Infinity", "-Infinity", "NaN"), strict=True):
        statement = f"UPDATE orders SET r_multiple = '{result}' WHERE id = CAST(:id AS uuid)"  # noqa: S608 - from here
        await app.execute_sql(statement, id=order_id)
    (performance,) = (await account.get("/api/v1/analytics"))["performance"]["symbol"]
    assert (performance["closed"], performance["expectancy"]) == (3, "0.0000")


async def test_signal_of_an_unreadable_time_does_not_hide_its_page(app: RunningApp, account: AccountClient) -> None:
    sent = [await account.send_signal() for _ in range(2)]
    for time in ("4713-01-01 BC", "infinity"):
        statement = f"UPDATE signals SET received_at = '{time}' WHERE id = CAST(:id AS uuid)"  # noqa: S608 - from here
        await app.execute_sql(statement, id=sent[0]["signal_id"])
        page = (await account.get("/api/v1/signals"))["items"]
        assert [signal["received_at"][:4] == "9999" for signal in page] == [False, True]
        assert (await account.get(f"/api/v1/receipts/{sent[0]['signal_id']}"))["order"]["id"] == sent[0]["order_id"]


async def test_unreadable_answer_does_not_spoil_its_page(app: RunningApp, account: AccountClient) -> None:
    sent = [await account.send_signal() for _ in range(2)]
    await app.execute_sql("UPDATE signals SET answer = '{' WHERE id = CAST(:id AS uuid)", id=sent[0]["signal_id"])
    page = (await account.get("/api/v1/signals"))["items"]
    assert [signal["answer"] is None for signal in page] == [False, True]
