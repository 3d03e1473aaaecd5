"""Web processes are killed, terminated, and left without their parent."""

import asyncio

import pytest

from tests.faults import kill_restart
from tests.faults.chaos_runs import ChaosRunPlan, run, run_clients
from tests.kit.polling import wait_until
from tests.kit.stack import Stack
from tests.kit.supervised_command import is_process_running

pytestmark = pytest.mark.fault


async def test_killed_web_processes_lose_no_acknowledged_signal(stack: Stack) -> None:
    report = await run(
        stack,
        ChaosRunPlan(signal_count=400, signals_per_second=120, fault_count=2, pause_before_fault_s=1.3),
        kill_restart.kill_web_process,
    )
    assert report.violations == ()
    assert report.acknowledged_count == report.order_count == 400


async def test_web_shutdown_with_open_streams_is_quick_and_loses_nothing(stack: Stack) -> None:
    async with run_clients(stack) as clients:
        for subscriber in clients.subscribers:
            subscriber.start()
        await asyncio.gather(*(subscriber.wait_for_seq(1) for subscriber in clients.subscribers))
        sending = asyncio.create_task(clients.sender.send_all(clients.accounts, range(200), signals_per_second=150))
        await asyncio.sleep(0.5)
        took_s = await asyncio.to_thread(stack.web.terminate)
        status = stack.web.status
        stack.web.start()
        await sending
        report = await clients.wait_and_check()
    assert report.violations == ()
    assert (status, report.order_count) == (0, 200)
    assert took_s < 5


async def test_worker_shutdown_is_quick_and_its_orders_continue(stack: Stack) -> None:
    async with run_clients(stack) as clients:
        for subscriber in clients.subscribers:
            subscriber.start()
        await clients.sender.send_all(clients.accounts, range(100), signals_per_second=200)
        took_s = await asyncio.to_thread(stack.worker.terminate)
        stack.worker.start()
        report = await clients.wait_and_check()
    assert report.violations == ()
    assert took_s < 10


@pytest.mark.parametrize("name", ["web", "worker"])
async def test_processes_exit_when_their_parent_is_killed(stack: Stack, name: str) -> None:
    """Otherwise two generations would serve at once, and nothing could end the older."""
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
