"""A subscriber is cut off between two events of an order, something dies meanwhile, and it misses nothing."""

import asyncio

import pytest

from tests.faults import strikes
from tests.faults.campaign import Strike, crew
from tests.kit.stack import Stack

pytestmark = pytest.mark.fault


async def nothing(_: Stack) -> None:
    """Only the client goes."""


@pytest.mark.parametrize(
    "strike",
    [nothing, strikes.web, strikes.worker, strikes.redis_empty, strikes.postgres_killed],
    ids=lambda strike: strike.__name__,
)
async def test_a_client_cut_after_the_fill_gets_the_close_exactly_once(stack: Stack, strike: Strike) -> None:
    async with crew(stack) as hands:
        for follower in hands.followers:
            follower.start()
        await hands.sender.send(hands.traders[0], 1)
        # account.created, signal.accepted, order.pending, order.executed
        await asyncio.gather(*(follower.reach(4) for follower in hands.followers))
        for follower in hands.followers:
            await follower.cut()
        await hands.sender.send(hands.traders[0], 2)  # and one that is pending while it happens
        await strike(stack)
        for follower in hands.followers:
            follower.start()
        verdict = await hands.verdict()
    assert verdict.faults == ()
    assert verdict.orders == 2
