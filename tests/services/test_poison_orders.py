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
UNREADABLE_COLUMNS = ["closes = '{garbage'", "status = 'odd'", "take_profits = '{}'", "quantity = 'NaN'", "side = 'UP'"]


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
    refused = await account.request("POST", f"/api/v1/orders/{order_ids[1]}/cancel")
    assert refused.status_code == httpx.codes.CONFLICT


async def test_unreadable_answer_does_not_spoil_its_page(app: RunningApp, account: AccountClient) -> None:
    sent = [await account.send_signal() for _ in range(2)]
    await app.execute_sql("UPDATE signals SET answer = '{' WHERE id = CAST(:id AS uuid)", id=sent[0]["signal_id"])
    page = (await account.get("/api/v1/signals"))["items"]
    assert [signal["answer"] is None for signal in page] == [False, True]
