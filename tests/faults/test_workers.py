"""Worker processes are killed or frozen, and every order goes its way to the end, once and in time."""

import asyncio
from time import monotonic

import pytest

from signalhub.jobs import NAMESPACE, QUEUE, connect, message
from signalhub.settings import Settings
from tests.faults import strikes
from tests.faults.campaign import Plan, crew, run
from tests.faults.conftest import QUICK
from tests.kit.stack import Frozen, Stack
from tests.kit.waiting import until

pytestmark = pytest.mark.fault


async def test_a_thousand_orders_end_once_each_though_the_worker_is_killed_five_times(stack: Stack) -> None:
    verdict = await run(stack, Plan(signals=1000, rate=125, accounts=4, strikes=5, pause_s=1.6), strikes.worker)
    assert verdict.faults == ()
    assert (verdict.acknowledged, verdict.orders) == (1000, 1000)


async def test_a_killed_workers_orders_go_on_within_ten_seconds(stack: Stack) -> None:
    """With the lease as it is shipped, and a worker that is killed with its hands full.

    What counts is that no order waits for more than the lease after a worker is back; how long a process takes to
    start is the machine's business, and on a busy one it may be long.
    """
    lease_s, back_after_s = Settings().lease_s, []

    async def kill(stack: Stack) -> None:
        began, old = monotonic(), await stack.worker_seen()
        await strikes.worker(stack)

        async def is_back() -> bool:
            return await stack.worker_seen() not in {None, old}

        await until(is_back, timeout_s=30)
        back_after_s.append(monotonic() - began)

    with stack.worker_that_has(lease_s=lease_s):
        verdict = await run(stack, Plan(signals=300, rate=200, strikes=1, pause_s=1.2), kill)
    assert verdict.faults == ()
    assert verdict.lateness_s[-1] < max(10.0, back_after_s[0] + lease_s + 2.0)


async def test_workers_that_are_killed_amid_hostility_end_every_order_once(stack: Stack) -> None:
    with stack.worker_that_has(chaos="hostile", retry_base_s=0.1, retry_cap_s=0.5):
        verdict = await run(stack, Plan(signals=80, rate=60, pause_s=0.6), strikes.worker)
    assert verdict.faults == ()
    assert (verdict.acknowledged, verdict.orders) == (80, 80)


async def test_a_worker_that_was_frozen_for_longer_than_its_lease_moves_nothing_twice(stack: Stack) -> None:
    """Its orders are another worker's by then; what it still holds in its hands must not be written."""
    async with crew(stack, accounts=2) as hands:
        for follower in hands.followers:
            follower.start()
        sending = asyncio.create_task(hands.sender.send_all(hands.traders, range(300), rate=100))
        await asyncio.sleep(1.0)
        with Frozen(stack.worker.pid), stack.second_worker():
            await asyncio.sleep(QUICK.lease_s + 1.5)
        await sending
        verdict = await hands.verdict()
    assert verdict.faults == ()


async def test_messages_that_nobody_can_read_hold_up_nobody(stack: Stack) -> None:
    client = connect(stack.settings.redis_url)
    for poison in (message("orders.unheard_of", ["1"]).encode(), message("orders.advance", ["no-id"]).encode()):
        client.hset(f"{NAMESPACE}:{QUEUE}.msgs", "poison", poison)
        client.rpush(f"{NAMESPACE}:{QUEUE}", "poison")
    client.hset(f"{NAMESPACE}:{QUEUE}.msgs", "garbage", b"\xff{")
    client.rpush(f"{NAMESPACE}:{QUEUE}", "garbage", "no such message")
    client.xadd("signalhub:events", {"what": b"\xff"})
    client.close()
    verdict = await run(stack, Plan(signals=60, rate=60, strikes=0), strikes.worker)
    assert verdict.faults == ()
    assert verdict.lateness_s[-1] < 5
