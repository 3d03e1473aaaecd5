"""Web processes are killed, ended politely, and left without their parent."""

import asyncio

import pytest

from tests.faults import kill_restart
from tests.faults.chaos_runs import ChaosRunPlan, run, run_clients
from tests.kit.polling import wait_until
from tests.kit.stack import Stack
from tests.kit.supervised_command import is_process_running

pytestmark = pytest.mark.fault


async def test_killed_web_processes_lose_no_acknowledged_signal(stack: Stack) -> None:
    verdict = await run(
        stack,
        ChaosRunPlan(signal_count=400, signals_per_second=120, fault_count=2, pause_before_fault_s=1.3),
        kill_restart.kill_web_process,
    )
    assert verdict.violations == ()
    assert verdict.acknowledged_count == verdict.order_count == 400


async def test_web_shutdown_with_open_streams_is_quick_and_loses_nothing(stack: Stack) -> None:
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


async def test_worker_shutdown_is_quick_and_its_orders_continue(stack: Stack) -> None:
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
async def test_processes_exit_when_their_parent_is_killed(stack: Stack, name: str) -> None:
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
