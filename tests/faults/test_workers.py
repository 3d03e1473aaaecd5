"""Worker processes are killed or frozen, and every order goes its way to the end, once and in time."""

import asyncio
from time import monotonic

import pytest

from signalhub.jobs import NAMESPACE, QUEUE_NAME, build_message, connect_redis
from signalhub.settings import Settings
from tests.faults import kill_restart
from tests.faults.chaos_runs import ChaosRunPlan, run, run_clients
from tests.faults.conftest import FAST_SETTINGS
from tests.kit.polling import wait_until
from tests.kit.stack import FrozenProcess, Stack

pytestmark = pytest.mark.fault


async def test_orders_end_once_when_the_worker_is_killed_repeatedly(stack: Stack) -> None:
    verdict = await run(
        stack,
        ChaosRunPlan(
            signal_count=1000, signals_per_second=125, account_count=4, fault_count=5, pause_before_fault_s=1.6
        ),
        kill_restart.kill_worker_process,
    )
    assert verdict.violations == ()
    assert (verdict.acknowledged_count, verdict.order_count) == (1000, 1000)


async def test_orders_of_a_killed_worker_continue_within_ten_seconds(stack: Stack) -> None:
    """With the lease as it is shipped, and a worker that is killed with its hands full.

    What counts is that no order waits for more than the lease after a worker is back; how long a process takes to
    start is the machine's business, and on a busy one it may be long.
    """
    lease_s, back_after_s = Settings().worker.lease_s, []

    async def kill(stack: Stack) -> None:
        began, old = monotonic(), await stack.read_worker_heartbeat()
        await kill_restart.kill_worker_process(stack)

        async def is_back() -> bool:
            return await stack.read_worker_heartbeat() not in {None, old}

        await wait_until(is_back, timeout_s=30)
        back_after_s.append(monotonic() - began)

    with stack.run_worker_with(lease_s=lease_s):
        verdict = await run(
            stack, ChaosRunPlan(signal_count=300, signals_per_second=200, fault_count=1, pause_before_fault_s=1.2), kill
        )
    assert verdict.violations == ()
    assert verdict.lateness_s[-1] < max(10.0, back_after_s[0] + lease_s + 2.0)


async def test_orders_end_once_when_workers_are_killed_with_a_hostile_broker(stack: Stack) -> None:
    with stack.run_worker_with(chaos="hostile", retry_base_s=0.1, retry_cap_s=0.5):
        verdict = await run(
            stack,
            ChaosRunPlan(signal_count=80, signals_per_second=60, pause_before_fault_s=0.6),
            kill_restart.kill_worker_process,
        )
    assert verdict.violations == ()
    assert (verdict.acknowledged_count, verdict.order_count) == (80, 80)


async def test_worker_frozen_beyond_its_lease_moves_no_order_twice(stack: Stack) -> None:
    """Its orders are another worker's by then; what it still holds in its hands must not be written."""
    async with run_clients(stack, account_count=2) as hands:
        for follower in hands.subscribers:
            follower.start()
        sending = asyncio.create_task(hands.sender.send_all(hands.accounts, range(300), signals_per_second=100))
        await asyncio.sleep(1.0)
        with FrozenProcess(stack.worker.pid), stack.run_second_worker():
            await asyncio.sleep(FAST_SETTINGS.worker.lease_s + 1.5)
        await sending
        verdict = await hands.wait_and_check()
    assert verdict.violations == ()


async def test_undecodable_messages_do_not_block_others(stack: Stack) -> None:
    client = connect_redis(stack.settings.redis_url)
    for poison in (
        build_message("orders.unheard_of", ["1"]).encode(),
        build_message("orders.advance", ["no-id"]).encode(),
    ):
        client.hset(f"{NAMESPACE}:{QUEUE_NAME}.msgs", "poison", poison)
        client.rpush(f"{NAMESPACE}:{QUEUE_NAME}", "poison")
    client.hset(f"{NAMESPACE}:{QUEUE_NAME}.msgs", "garbage", b"\xff{")
    client.rpush(f"{NAMESPACE}:{QUEUE_NAME}", "garbage", "no such message")
    client.xadd("signalhub:events", {"what": b"\xff"})
    client.close()
    verdict = await run(
        stack, ChaosRunPlan(signal_count=60, signals_per_second=60, fault_count=0), kill_restart.kill_worker_process
    )
    assert verdict.violations == ()
    assert verdict.lateness_s[-1] < 5
