"""A subscriber disconnects between two events of an order, a fault follows, and it misses nothing."""

import asyncio

import pytest

from tests.faults import kill_restart
from tests.faults.chaos_runs import FaultInjector, run_clients
from tests.kit.stack import Stack

pytestmark = pytest.mark.fault


async def inject_nothing(_: Stack) -> None:
    """Only the client disconnects."""


@pytest.mark.parametrize(
    "inject_fault",
    [
        inject_nothing,
        kill_restart.kill_web_process,
        kill_restart.kill_worker_process,
        kill_restart.restart_redis_empty,
        kill_restart.kill_postgres,
    ],
    ids=lambda fault: fault.__name__,
)
async def test_subscriber_cut_after_fill_receives_close_exactly_once(stack: Stack, inject_fault: FaultInjector) -> None:
    async with run_clients(stack) as clients:
        for subscriber in clients.subscribers:
            subscriber.start()
        await clients.sender.send(clients.accounts[0], 1)
        # account.created, signal.accepted, order.pending, order.executed
        await asyncio.gather(*(subscriber.wait_for_seq(4) for subscriber in clients.subscribers))
        for subscriber in clients.subscribers:
            await subscriber.disconnect()
        await clients.sender.send(clients.accounts[0], 2)  # pending during the fault
        await inject_fault(stack)
        for subscriber in clients.subscribers:
            subscriber.start()
        report = await clients.wait_and_check()
    assert report.violations == ()
    assert report.order_count == 2
