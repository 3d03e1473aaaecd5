"""PostgreSQL and Redis go away, come back, come back empty, or hang."""

import asyncio
from time import perf_counter

import httpx
import pytest

from tests.faults import strikes
from tests.faults.campaign import ChaosRunPlan, FaultInjector, run, run_clients
from tests.kit import texts
from tests.kit.stack import FrozenProcess, Stack

pytestmark = pytest.mark.fault

MAX_REFUSAL_S = 2.4
"""Two seconds are promised and three are what TradingView waits; what is between is for a busy machine."""


async def test_signals_are_taken_while_redis_is_away_and_run_when_it_is_back(stack: Stack) -> None:
    verdict = await run(
        stack,
        ChaosRunPlan(signal_count=300, signals_per_second=100, fault_count=1, pause_before_fault_s=0.5),
        strikes.stop_redis_briefly,
    )
    assert verdict.violations == ()
    assert (verdict.order_count, verdict.unavailable_count, verdict.lost_connection_count) == (300, 0, 0)


async def test_a_redis_that_comes_back_empty_under_load_loses_nothing(stack: Stack) -> None:
    verdict = await run(
        stack,
        ChaosRunPlan(signal_count=250, signals_per_second=120, fault_count=2, pause_before_fault_s=0.7),
        strikes.restart_redis_empty,
    )
    assert verdict.violations == ()
    assert (verdict.order_count, verdict.unavailable_count, verdict.lost_connection_count) == (250, 0, 0)


@pytest.mark.parametrize(
    "strike", [strikes.kill_postgres, strikes.stop_postgres_immediately], ids=lambda strike: strike.__name__
)
async def test_a_postgresql_that_restarts_under_load_loses_no_promise(stack: Stack, strike: FaultInjector) -> None:
    """Every request that fails is told so in time: 503, and within two seconds."""
    verdict = await run(
        stack, ChaosRunPlan(signal_count=250, signals_per_second=120, fault_count=2, pause_before_fault_s=0.6), strike
    )
    assert verdict.violations == ()
    assert verdict.order_count == 250
    assert verdict.slowest_refusal_s < MAX_REFUSAL_S


async def test_a_database_that_hangs_is_answered_with_503_in_time(stack: Stack) -> None:
    """TradingView hangs up after three seconds and never sends again, so a slow answer loses the signal."""
    async with run_clients(stack) as hands:
        for follower in hands.subscribers:
            follower.start()
        await hands.sender.send(hands.accounts[0], 0)
        await asyncio.sleep(2.2)  # what the web process knows of the key is too old to be believed
        with FrozenProcess(stack.postgres.pid):
            refused = await asyncio.gather(*(_post_signal(hands.http, hands.accounts[0].headers) for _ in range(5)))
            refused += [await _post_signal(hands.http, hands.accounts[0].headers)]
            is_ready = (await hands.http.get("/health/ready")).is_success
        recovered_s = await stack.wait_until_ready()
        await hands.sender.send(hands.accounts[0], 1)
        verdict = await hands.wait_and_check()
    assert [status for status, _ in refused] == [503] * 6
    assert max(took_s for _, took_s in refused) < MAX_REFUSAL_S
    assert not is_ready
    assert recovered_s < 2
    assert verdict.violations == ()


async def test_after_everything_was_killed_what_was_pending_is_finished(stack: Stack) -> None:
    async with run_clients(stack, account_count=2) as hands:
        for follower in hands.subscribers:
            follower.start()
        await hands.sender.send_all(hands.accounts, range(150), signals_per_second=150)
        await asyncio.to_thread(stack.kill_all)
        await asyncio.to_thread(stack.start)
        verdict = await hands.wait_and_check()
    assert verdict.violations == ()
    assert verdict.order_count == 150


async def _post_signal(http: httpx.AsyncClient, headers: dict[str, str]) -> tuple[int, float]:
    began = perf_counter()
    answer = await http.post("/api/v1/signals", content=texts.BUY, headers=headers)
    return answer.status_code, perf_counter() - began
