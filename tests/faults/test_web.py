"""Web processes are killed, ended politely, and left without their parent."""

import asyncio

import pytest

from tests.faults import strikes
from tests.faults.campaign import Plan, crew, run
from tests.kit.service import is_running
from tests.kit.stack import Stack
from tests.kit.waiting import until

pytestmark = pytest.mark.fault


async def test_no_acknowledged_signal_is_lost_when_web_processes_are_killed(stack: Stack) -> None:
    verdict = await run(stack, Plan(signals=400, rate=120, strikes=2, pause_s=1.3), strikes.web)
    assert verdict.faults == ()
    assert verdict.acknowledged == verdict.orders == 400


async def test_a_polite_end_is_quick_though_streams_are_open_and_loses_nothing(stack: Stack) -> None:
    async with crew(stack) as hands:
        for follower in hands.followers:
            follower.start()
        await asyncio.gather(*(follower.reach(1) for follower in hands.followers))
        sending = asyncio.create_task(hands.sender.send_all(hands.traders, range(200), rate=150))
        await asyncio.sleep(0.5)
        took_s = await asyncio.to_thread(stack.web.terminate)
        status = stack.web.status
        stack.web.start()
        await sending
        verdict = await hands.verdict()
    assert verdict.faults == ()
    assert (status, verdict.orders) == (0, 200)
    assert took_s < 5


async def test_a_worker_that_is_asked_to_end_is_out_in_time_and_its_orders_go_on(stack: Stack) -> None:
    async with crew(stack) as hands:
        for follower in hands.followers:
            follower.start()
        await hands.sender.send_all(hands.traders, range(100), rate=200)
        took_s = await asyncio.to_thread(stack.worker.terminate)
        stack.worker.start()
        verdict = await hands.verdict()
    assert verdict.faults == ()
    assert took_s < 10


@pytest.mark.parametrize("name", ["web", "worker"])
async def test_processes_whose_parent_was_killed_leave(stack: Stack, name: str) -> None:
    """Else two generations would serve at once, and the older could not be ended."""
    await stack.ready()
    service = stack.web if name == "web" else stack.worker
    orphans = service.children()
    service.is_kept = False
    service.kill_main()

    async def are_gone() -> bool:
        return not any(is_running(pid) for pid in orphans)

    try:
        await until(are_gone, timeout_s=5)
    finally:
        service.end_left_over()
        service.start()
    assert orphans
