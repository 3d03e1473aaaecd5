"""The lifecycle of an accepted order: steps, failures, the stored schedule of retries."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from db import orders
from signalhub.brokers.base import BrokerError
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import Event
from signalhub.domain.order import Closed, CloseReason, Executed, Order
from signalhub.domain.retry import RetryPolicy
from signalhub.services.lifecycle import Lifecycle
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.lifecycle_harness import LifecycleHarness
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp
from tests.kit.scripted_broker import ScriptedBroker, ScriptedOutcome

PASSING = BrokerError("venue_busy", permanent=False)
FINAL = BrokerError("insufficient_margin", permanent=True)
FILL = Executed(Decimal("1.0860"), "b-1")


async def _order(account: AccountClient) -> Any:  # noqa: ANN401 - JSON
    return (await account.get("/api/v1/orders"))["items"][0]


async def _claim(app: RunningApp, order_id: str, lease_s: float = 0.0) -> None:
    """Claim an order as a worker does that dies then."""
    async with app.services.engine.begin() as connection:
        assert await orders.claim(connection, lease_s, max_orders=1, order_ids=[order_id]) is not None


async def _leave_in_step(app: RunningApp, account: AccountClient, order_id: str) -> None:
    """Begin a step as soon as the order is due, and stop in it as a worker does that dies."""
    harness = LifecycleHarness(app, account, (9.0,), lease_s=0.3)

    async def has_begun() -> bool:
        await harness.lifecycle.advance([order_id])
        return bool(harness.scripted_broker.stepped_order_ids)

    await wait_until(has_begun)
    await harness.lifecycle.close()


async def test_order_without_delays_is_executed_and_closed_by_advancing(
    app: RunningApp, account: AccountClient
) -> None:
    harness = LifecycleHarness(app, account, ())
    order_id = await harness.accept()
    events = await harness.advance(order_id)
    assert [event.type for event in events] == ["order.executed", "order.closed"]
    order = await account.get_order(order_id)
    assert (order["status"], order["version"], order["close_reason"]) == ("closed", 3, "take_profit")
    assert (order["pnl"], order["r_multiple"]) == ("0.0030", "3.0000")


async def test_order_does_not_move_before_it_is_due(app: RunningApp, account: AccountClient) -> None:
    sent = await account.send_signal()
    await app.worker.advance([sent["order_id"]])
    assert (await account.get_order(sent["order_id"]))["status"] == "pending"
    await app.advance_order(sent["order_id"])
    assert (await account.get_order(sent["order_id"]))["status"] == "executed"
    await app.worker.advance([sent["order_id"]])
    assert (await account.get_order(sent["order_id"]))["status"] == "executed"
    await app.advance_order(sent["order_id"])
    assert (await account.get_order(sent["order_id"]))["status"] == "closed"


async def test_sweep_skips_order_within_scheduler_grace(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, ())
    order_id = await harness.accept()
    await harness.lifecycle.sweep()  # orders of other tests may be due meanwhile
    assert order_id not in harness.scripted_broker.stepped_order_ids
    assert await harness.lifecycle.advance([order_id])


async def test_sweep_advances_order_without_notification(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, (FILL,))
    await harness.accept()
    assert await wait_until(harness.lifecycle.sweep)


async def test_orders_of_a_deleted_account_do_not_block_others(
    app: RunningApp, account: AccountClient, other_account: AccountClient
) -> None:
    harness, gone = LifecycleHarness(app, account, ()), LifecycleHarness(app, other_account, ())
    left, kept = await gone.accept(), await harness.accept()
    further = await gone.accept(signal_texts.SELL)
    await app.delete_account(other_account)
    assert await gone.lifecycle.advance([left]) == []
    assert [event.order_id for event in await harness.advance(further, kept)] == [kept, kept]


async def test_advancing_twice_changes_nothing(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, ())
    order_id = await harness.accept()
    both = await asyncio.gather(*(harness.lifecycle.advance([order_id]) for _ in range(6)))
    assert sum(len(events or ()) for events in both) == 2
    assert await harness.lifecycle.advance([order_id]) is None
    assert len(await account.list_events(after=1)) == 4


async def test_transient_failure_is_retried_on_the_stored_schedule(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, (PASSING, PASSING, FILL))
    order_id = await harness.accept()
    (first,) = await harness.advance(order_id)
    order = await account.get_order(order_id)
    assert (first.type, order["status"], order["reason"], order["attempts"]) == (
        "order.retrying", "pending", "venue_busy", 1
    )  # fmt: skip
    assert datetime.fromisoformat(order["next_attempt_at"]) > datetime.fromisoformat(order["updated_at"])
    assert msgspec.json.decode(first.body)["data"] == order
    (second,) = await harness.advance(order_id)
    assert second.type == "order.retrying"
    await harness.advance(order_id)
    order = await account.get_order(order_id)
    assert (order["attempts"], order["reason"], order["next_attempt_at"]) == (3, None, None)
    assert order["fill_price"] == "1.0860"


async def test_order_ends_after_its_last_retry(app: RunningApp, account: AccountClient) -> None:
    types, order = await LifecycleHarness(app, account, (PASSING,) * 9).run()
    assert types == ["order.pending", "order.retrying", "order.retrying", "order.rejected"]
    assert (order["status"], order["reason"], order["next_attempt_at"]) == ("rejected", "venue_busy", None)


async def test_permanent_broker_error_ends_the_order(app: RunningApp, account: AccountClient) -> None:
    types, order = await LifecycleHarness(app, account, (FINAL,)).run()
    assert types == ["order.pending", "order.rejected"]
    assert order["reason"] == "insufficient_margin"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ValueError("bug"), "broker_fault"),
        (OSError("connection"), "broker_fault"),
        (30.0, "broker_timeout"),
        (Closed(Decimal(1), CloseReason.TIME), "broker_fault"),
    ],
    ids=["raises", "loses its connection", "hangs", "returns an illegal move"],
)
async def test_broker_that_raises_is_asked_again(
    app: RunningApp, account: AccountClient, fault: ScriptedOutcome, reason: str
) -> None:
    harness = LifecycleHarness(app, account, (fault, FILL))
    order_id = await harness.accept()
    await harness.lifecycle.advance([order_id])

    async def retrying() -> Any:  # noqa: ANN401 - JSON
        order = await account.get_order(order_id)
        return order if order["attempts"] else None

    order = await wait_until(retrying)
    assert (order["status"], order["reason"]) == ("pending", reason)
    await harness.advance(order_id)
    assert (await account.get_order(order_id))["fill_price"] == "1.0860"


async def test_executed_order_retries_after_permanent_broker_error(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, (FILL, *(FINAL,) * 6))
    types, order = await harness.run()
    assert types == ["order.pending", "order.executed", *["order.retrying"] * 6, "order.closed"]
    assert order["status"] == "closed"


async def test_failing_order_does_not_block_its_batch(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, (ValueError("bug"),))
    order_ids = [await harness.accept(signal_texts.make_buy_text(number)) for number in range(3)]
    await harness.advance(*order_ids)
    assert sorted([(await account.get_order(order_id))["status"] for order_id in order_ids]) == [
        "closed",
        "closed",
        "pending",
    ]


async def test_hung_order_does_not_block_others(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, (0.3,))
    order_ids = [await harness.accept(signal_texts.make_buy_text(number)) for number in range(3)]
    events = await harness.lifecycle.advance(order_ids)
    assert [event.type for event in events or ()] == ["order.executed", "order.closed"] * 2
    assert sorted([(await account.get_order(order_id))["status"] for order_id in order_ids]) == [
        "closed",
        "closed",
        "pending",
    ]


async def test_duplicate_broker_report_is_ignored(app: RunningApp, account: AccountClient) -> None:
    other = Executed(Decimal("9.9"), "b-2")
    harness = LifecycleHarness(
        app, account, ((FILL, other), (other, Closed(Decimal("1.0890"), CloseReason.TAKE_PROFIT)))
    )
    types, order = await harness.run()
    assert types == ["order.pending", "order.executed", "order.closed"]
    assert (order["fill_price"], order["broker_order_id"], order["version"]) == ("1.0860", "b-1", 3)


async def test_order_of_a_dead_worker_continues_after_the_lease(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, ())
    order_id = await harness.accept()
    await _claim(app, order_id, lease_s=0.3)
    assert await harness.lifecycle.advance([order_id]) is None
    assert [event.type for event in await harness.advance(order_id)] == ["order.executed", "order.closed"]


async def test_interrupted_steps_show_on_the_order(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, (PASSING, None, FILL, None))
    order_id = await harness.accept()
    await harness.advance(order_id)
    counted = REGISTRY.get_sample_value("signalhub_worker_interrupted_steps_total") or 0
    for _ in range(2):
        await _leave_in_step(app, account, order_id)
    types, order = await harness.end(order_id)
    assert types == ["order.pending", "order.retrying", "order.executed", "order.closed"]
    assert REGISTRY.get_sample_value("signalhub_worker_interrupted_steps_total") == counted + 2
    first, second = order["interruptions"]
    assert [first["attempt"], second["attempt"]] == [2, 2]
    assert order["created_at"] < first["claimed_at"] < first["resumed_at"] == second["claimed_at"]
    assert second["claimed_at"] < second["resumed_at"] < order["filled_at"]
    assert [event["data"]["interruptions"] for event in (await account.list_events())[-2:]] == [[first, second]] * 2


async def test_last_interruptions_are_kept(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, lease_s=0.01)
    order_id = await harness.accept()
    for _ in range(30):
        await _claim(app, order_id)
    interruptions = (await account.get_order(order_id))["interruptions"]
    assert len(interruptions) == 20
    assert all(before["resumed_at"] == after["claimed_at"] for before, after in pairwise(interruptions))
    await harness.end(order_id)
    assert (await account.get_order(order_id))["interruptions"][:-1] == interruptions[1:]


async def test_cancelled_order_stays_cancelled(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account, ())
    order_id = await harness.accept()
    cancelled = await harness.commands.cancel(account.id, order_id)
    assert (cancelled.status, cancelled.reason) == ("cancelled", "requested")
    assert await harness.lifecycle.advance([order_id]) is None
    assert harness.scripted_broker.stepped_order_ids == []


async def test_concurrent_cancel_and_fill_apply_one(app: RunningApp, account: AccountClient) -> None:
    for number in range(12):
        harness = LifecycleHarness(app, account, ())
        order_id = await harness.accept(signal_texts.make_buy_text(number))
        race = [harness.commands.cancel(account.id, order_id), harness.lifecycle.advance([order_id])]
        outcomes = await asyncio.gather(*(race if number % 2 else reversed(race)), return_exceptions=True)
        order = await account.get_order(order_id)
        types = [event["type"] for event in (await account.get(f"/api/v1/orders/{order_id}/events"))["items"]]
        if order["status"] == "cancelled":
            assert types == ["order.pending", "order.cancelled"]
        else:
            assert types == ["order.pending", "order.executed", "order.closed"]
            refused = [one for one in outcomes if isinstance(one, SignalHubError)]
            assert [error.code for error in refused] == ["illegal_transition"]


async def test_concurrent_manual_and_broker_close_apply_one(app: RunningApp, account: AccountClient) -> None:
    for number in range(12):
        harness = LifecycleHarness(app, account, (FILL, None))
        order_id = await harness.accept(signal_texts.make_buy_text(number))
        await harness.advance(order_id)
        await app.execute_sql("UPDATE orders SET due_at = now() WHERE id = CAST(:id AS uuid)", id=order_id)
        race = [harness.commands.close(account.id, order_id), harness.lifecycle.advance([order_id])]
        outcomes = await asyncio.gather(*(race if number % 2 else reversed(race)), return_exceptions=True)
        order = await account.get_order(order_id)
        types = [event["type"] for event in (await account.get(f"/api/v1/orders/{order_id}/events"))["items"]]
        assert types == ["order.pending", "order.executed", "order.closed"]
        refused = [one.code for one in outcomes if isinstance(one, SignalHubError)]
        assert (order["close_reason"], refused) in [("manual", []), ("take_profit", ["illegal_transition"])]


async def test_concurrent_closes_apply_one(app: RunningApp, account: AccountClient) -> None:
    sent = await account.send_signal()
    await app.advance_order(sent["order_id"])
    path = f"/api/v1/orders/{sent['order_id']}/close"
    answers = await asyncio.gather(*(account.request("POST", path) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    order = await _order(account)
    assert (order["status"], order["close_reason"], order["version"]) == ("closed", "manual", 3)


async def test_move_of_an_old_version_is_discarded(app: RunningApp, account: AccountClient) -> None:
    """The account cancels the order during a slow broker call: the move that the broker then returns is void."""
    is_called, may_return = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedBroker):
        async def step(self, order: Order, now: datetime) -> Any:  # noqa: ANN401 - a move
            is_called.set()
            await may_return.wait()
            return await super().step(order, now)

    harness = LifecycleHarness(app, account, ())
    order_id = await harness.accept()
    published: asyncio.Queue[Sequence[Event]] = asyncio.Queue()
    slow = Lifecycle(app.services.engine, Slow(), RetryPolicy(3, 0.02, 0.04), lease_s=5, publish=published.put)
    assert await slow.advance([order_id]) == []
    await is_called.wait()
    await harness.commands.cancel(account.id, order_id)
    may_return.set()
    assert await published.get() == []
    assert (await account.get_order(order_id))["status"] == "cancelled"
    assert [event["type"] for event in await account.list_events(after=2)] == ["order.pending", "order.cancelled"]
