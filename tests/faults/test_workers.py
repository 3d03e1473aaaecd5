"""Worker processes are killed or frozen, and every order still ends, once and in time."""

import asyncio
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import text

from db.engine import create_engine
from signalhub import redis_clients
from signalhub.jobs import QUEUE_NAME, build_message
from signalhub.settings import Settings
from tests.faults import kill_restart
from tests.faults.chaos_runs import ChaosRunPlan, run, run_clients
from tests.faults.conftest import FAST_SETTINGS
from tests.kit.polling import wait_until
from tests.kit.redis_keys import read_redis_keys
from tests.kit.stack import FrozenProcess, Stack

pytestmark = pytest.mark.fault

_SELECT_CLAIM = text("SELECT claimed_at FROM orders WHERE id = CAST(:id AS uuid)")


async def _is_claimed(stack: Stack, order_id: str) -> bool:
    engine = create_engine(stack.settings.database_url)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(_SELECT_CLAIM, {"id": order_id})).scalar_one() is not None
    finally:
        await engine.dispose()


async def test_orders_end_once_when_the_worker_is_killed_repeatedly(stack: Stack) -> None:
    report = await run(
        stack,
        ChaosRunPlan(
            signal_count=1000, signals_per_second=125, account_count=4, fault_count=5, pause_before_fault_s=1.6
        ),
        kill_restart.kill_worker_process,
    )
    assert report.violations == ()
    assert (report.acknowledged_count, report.order_count) == (1000, 1000)


async def test_orders_of_a_killed_worker_continue_within_ten_seconds(stack: Stack) -> None:
    """With the default lease, and a worker killed while it holds orders.

    No order may wait for more than the lease after a worker is back. The time in which a process starts is not limited:
    on a busy machine it may be long.
    """
    lease_s, back_after_s = Settings().worker.lease_s, []

    async def kill(stack: Stack) -> None:
        began, old_heartbeat = monotonic(), await stack.read_worker_heartbeat()
        await kill_restart.kill_worker_process(stack)

        async def is_back() -> bool:
            return await stack.read_worker_heartbeat() not in {None, old_heartbeat}

        await wait_until(is_back, timeout_s=30)
        back_after_s.append(monotonic() - began)

    with stack.run_worker_with(lease_s=lease_s):
        report = await run(
            stack, ChaosRunPlan(signal_count=300, signals_per_second=200, fault_count=1, pause_before_fault_s=1.2), kill
        )
    assert report.violations == ()
    assert report.lateness_s[-1] < max(10.0, back_after_s[0] + lease_s + 2.0)


async def test_step_in_which_a_worker_is_killed_shows_on_the_order(stack: Stack) -> None:
    """At the next claim already, since a step that kills each worker is never saved."""
    lease_s = 4.0
    with stack.run_worker_with(lease_s=lease_s, chaos="stuck", chaos_profiles="stuck: hang=100%"):
        async with run_clients(stack) as clients:
            (account,) = clients.accounts
            sent = await account.send_signal()

            async def read_interruptions() -> list[dict[str, Any]]:
                receipt = await account.get(f"/api/v1/receipts/{sent['signal_id']}")
                return list(receipt["order"]["interruptions"])

            await wait_until(lambda: _is_claimed(stack, sent["order_id"]))
            assert await read_interruptions() == []
            await kill_restart.kill_worker_process(stack)
            (interruption,) = await wait_until(read_interruptions, timeout_s=15)
            events = await account.list_events()
    assert [event["type"] for event in events][-1] == "order.pending"
    assert interruption["attempt"] == 1
    claimed_at, resumed_at = (datetime.fromisoformat(interruption[name]) for name in ("claimed_at", "resumed_at"))
    assert timedelta(seconds=lease_s) <= resumed_at - claimed_at < timedelta(seconds=2 * lease_s)
    assert f'"order_ids": ["{sent["order_id"]}"]' in stack.worker.log_path.read_text()


async def test_orders_end_once_when_workers_are_killed_with_a_hostile_broker(stack: Stack) -> None:
    with stack.run_worker_with(chaos="hostile", retry_base_s=0.1, retry_cap_s=0.5):
        report = await run(
            stack,
            ChaosRunPlan(signal_count=80, signals_per_second=60, pause_before_fault_s=0.6),
            kill_restart.kill_worker_process,
        )
    assert report.violations == ()
    assert (report.acknowledged_count, report.order_count) == (80, 80)


async def test_worker_frozen_beyond_its_lease_moves_no_order_twice(stack: Stack) -> None:
    """Another worker has claimed its orders by then; what the frozen one decided must not be written."""
    async with run_clients(stack, account_count=2) as clients:
        for subscriber in clients.subscribers:
            subscriber.start()
        sending = asyncio.create_task(clients.sender.send_all(clients.accounts, range(300), signals_per_second=100))
        await asyncio.sleep(1.0)
        with FrozenProcess(stack.worker.pid), stack.run_second_worker():
            await asyncio.sleep(FAST_SETTINGS.worker.lease_s + 1.5)
        await sending
        report = await clients.wait_and_check()
    assert report.violations == ()


async def test_undecodable_messages_do_not_block_others(stack: Stack) -> None:
    client, keys = redis_clients.connect(stack.settings.redis_url), await read_redis_keys(stack.settings)
    for poison in (
        build_message("orders.unheard_of", ["1"]).encode(),
        build_message("orders.advance", ["no-id"]).encode(),
    ):
        client.hset(f"{keys.jobs}:{QUEUE_NAME}.msgs", "poison", poison)
        client.rpush(f"{keys.jobs}:{QUEUE_NAME}", "poison")
    client.hset(f"{keys.jobs}:{QUEUE_NAME}.msgs", "garbage", b"\xff{")
    client.rpush(f"{keys.jobs}:{QUEUE_NAME}", "garbage", "no such message")
    client.xadd(keys.events, {"what": b"\xff"})
    client.close()
    report = await run(
        stack, ChaosRunPlan(signal_count=60, signals_per_second=60, fault_count=0), kill_restart.kill_worker_process
    )
    assert report.violations == ()
    assert report.lateness_s[-1] < 5
