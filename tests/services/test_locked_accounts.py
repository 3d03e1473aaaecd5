"""A transaction that holds an account's log stops that account alone, and a hung one not for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from time import monotonic

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db import event_log
from signalhub.brokers.base import Report
from signalhub.domain.errors import SignalHubError
from signalhub.domain.order import Order
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.lifecycle_harness import LifecycleHarness
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp
from tests.kit.scripted_broker import ScriptedBroker


@asynccontextmanager
async def _hold(app: RunningApp, account: AccountClient) -> AsyncIterator[None]:
    """Lock the account's row as an operator's session may, without a limit."""
    async with app.services.engine.connect() as connection:
        await connection.execute(
            text("SELECT FROM accounts WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": account.id}
        )
        yield


async def test_locked_account_refuses_no_signal_of_others(
    app: RunningApp, account: AccountClient, other_account: AccountClient
) -> None:
    harness, locked = LifecycleHarness(app, account), LifecycleHarness(app, other_account)
    locked.ingest = harness.ingest
    async with _hold(app, other_account):
        refused = asyncio.gather(*(locked.accept() for _ in range(5)), return_exceptions=True)
        for number in range(20):
            began = monotonic()
            await harness.accept(signal_texts.make_buy_text(number))
            assert monotonic() - began < 0.5
            await asyncio.sleep(0.02)
        errors = await asyncio.wait_for(refused, 2)
    assert [error.code if isinstance(error, SignalHubError) else error for error in errors] == ["unavailable"] * 5
    assert await locked.accept()


async def test_signal_of_a_locked_account_is_accepted_once_it_is_free(app: RunningApp, account: AccountClient) -> None:
    harness = LifecycleHarness(app, account)
    async with _hold(app, account):
        waiting = asyncio.create_task(harness.accept())
        await asyncio.sleep(0.3)
        assert not waiting.done()
    assert await waiting


async def test_hung_transaction_loses_its_locks(app: RunningApp, account: AccountClient) -> None:
    """As when a worker is frozen between its statements: the server ends its transaction."""
    async with app.services.engine.connect() as hung:
        await event_log.lock_heads(hung, {account.id})
        began = monotonic()
        async with app.services.engine.begin() as connection:
            await event_log.lock_heads(connection, {account.id})
        assert monotonic() - began < 1.4
        await hung.invalidate()


async def test_request_waits_for_a_locked_log_within_its_limit(app: RunningApp, account: AccountClient) -> None:
    async with _hold(app, account), app.services.engine.connect() as connection:
        began = monotonic()
        try:
            await event_log.lock_heads(connection, {account.id})
        except DBAPIError:
            assert monotonic() - began < 2
        else:
            raise AssertionError("the log was locked twice")


async def test_orders_of_others_move_while_an_account_is_locked(
    app: RunningApp, account: AccountClient, other_account: AccountClient
) -> None:
    harness = LifecycleHarness(app, account, lease_s=5)
    locked = LifecycleHarness(app, other_account)
    order_ids = [await locked.accept(), *[await harness.accept(signal_texts.make_buy_text(n)) for n in range(3)]]
    async with _hold(app, other_account):
        began = monotonic()
        events = await harness.advance(*order_ids)
        assert monotonic() - began < 1
        assert {event.account_id for event in events} == {account.id}
        assert [event.type for event in events] == ["order.executed", "order.closed"] * 3
    await _wait_until_closed(other_account, order_ids[:1])
    await harness.lifecycle.close()


async def test_locked_order_row_delays_no_other_order(app: RunningApp, account: AccountClient) -> None:
    async with app.services.engine.connect() as connection:

        class Locking(ScriptedBroker):
            """Holds the row of the first order from its step on, as a request for its cancellation may."""

            is_holding = False

            async def step(self, order: Order, now: datetime) -> Report:
                if not self.is_holding:
                    self.is_holding = True
                    select = text("SELECT FROM orders WHERE id = CAST(:id AS uuid) FOR UPDATE")
                    await connection.execute(select, {"id": order.id})
                return await super().step(order, now)

        harness = LifecycleHarness(app, account, broker=Locking(), lease_s=5)
        order_ids = [await harness.accept(signal_texts.make_buy_text(number)) for number in range(3)]
        events = await harness.advance(*order_ids)
        assert [event.type for event in events] == ["order.executed", "order.closed"] * 2
        await connection.rollback()
        await _wait_until_closed(account, order_ids)
        await harness.lifecycle.close()


async def _wait_until_closed(account: AccountClient, order_ids: list[str]) -> None:
    async def are_closed() -> bool:
        return all([(await account.get_order(order_id))["status"] == "closed" for order_id in order_ids])

    await wait_until(are_closed, timeout_s=1)  # long before a lease ends
