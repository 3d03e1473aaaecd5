"""A subscriber is cut off between two events of an order, something dies meanwhile, and it misses nothing."""

import asyncio

import pytest

from tests.faults import kill_restart
from tests.faults.chaos_runs import FaultInjector, run_clients
from tests.kit.stack import Stack

pytestmark = pytest.mark.fault


async def inject_nothing(_: Stack) -> None:
    """Only the client goes."""


@pytest.mark.parametrize(
    "strike",
    [
        inject_nothing,
        kill_restart.kill_web_process,
        kill_restart.kill_worker_process,
        kill_restart.restart_redis_empty,
        kill_restart.kill_postgres,
    ],
    ids=lambda strike: strike.__name__,
)
async def test_subscriber_cut_after_fill_receives_close_exactly_once(stack: Stack, strike: FaultInjector) -> None:
    async with run_clients(stack) as hands:
        for follower in hands.subscribers:
            follower.start()
        await hands.sender.send(hands.accounts[0], 1)
        # account.created, signal.accepted, order.pending, order.executed
        await asyncio.gather(*(follower.wait_for_seq(4) for follower in hands.subscribers))
        for follower in hands.subscribers:
            await follower.disconnect()
        await hands.sender.send(hands.accounts[0], 2)  # and one that is pending while it happens
        await strike(stack)
        for follower in hands.subscribers:
            follower.start()
        verdict = await hands.wait_and_check()
    assert verdict.violations == ()
    assert verdict.order_count == 2
