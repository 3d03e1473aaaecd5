"""Web processes are killed, ended politely, and left without their parent."""

import asyncio

import pytest

from tests.faults import strikes
from tests.faults.campaign import ChaosRunPlan, run, run_clients
from tests.kit.service import is_process_running
from tests.kit.stack import Stack
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.fault


async def test_no_acknowledged_signal_is_lost_when_web_processes_are_killed(stack: Stack) -> None:
    verdict = await run(
        stack,
        ChaosRunPlan(signal_count=400, signals_per_second=120, fault_count=2, pause_before_fault_s=1.3),
        strikes.kill_web_process,
    )
    assert verdict.violations == ()
    assert verdict.acknowledged_count == verdict.order_count == 400


async def test_a_polite_end_is_quick_though_streams_are_open_and_loses_nothing(stack: Stack) -> None:
    async with run_clients(stack) as hands:
        for follower in hands.subscribers:
            follower.start()
        await asyncio.gather(*(follower.wait_for_seq(1) for follower in hands.subscribers))
        sending = asyncio.create_task(hands.sender.send_all(hands.accounts, range(200), signals_per_second=150))
        await asyncio.sleep(0.5)
        took_s = await asyncio.to_thread(stack.web.terminate)
        status = stack.web.status
        stack.web.start()
        await sending
        verdict = await hands.wait_and_check()
    assert verdict.violations == ()
    assert (status, verdict.order_count) == (0, 200)
    assert took_s < 5


async def test_a_worker_that_is_asked_to_end_is_out_in_time_and_its_orders_go_on(stack: Stack) -> None:
    async with run_clients(stack) as hands:
        for follower in hands.subscribers:
            follower.start()
        await hands.sender.send_all(hands.accounts, range(100), signals_per_second=200)
        took_s = await asyncio.to_thread(stack.worker.terminate)
        stack.worker.start()
        verdict = await hands.wait_and_check()
    assert verdict.violations == ()
    assert took_s < 10


@pytest.mark.parametrize("name", ["web", "worker"])
async def test_processes_whose_parent_was_killed_leave(stack: Stack, name: str) -> None:
    """Else two generations would serve at once, and the older could not be ended."""
    await stack.wait_until_ready()
    service = stack.web if name == "web" else stack.worker
    orphans = service.child_pids()
    service.is_supervised = False
    service.kill_main()

    async def are_gone() -> bool:
        return not any(is_process_running(pid) for pid in orphans)

    try:
        await wait_until(are_gone, timeout_s=5)
    finally:
        service.kill_process_group()
        service.start()
    assert orphans
