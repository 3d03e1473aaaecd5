"""`run.py poison`: what can never succeed, among signals that can.

Orders that the broker always raises for, rows that cannot be read, messages for unknown actors and corrupt messages are
one in a hundred of what happens. Each must end, and the others must be as fast as without.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import create_engine
from signalhub import redis_clients
from signalhub.jobs import QUEUE_NAME, build_message
from tests.faults.chaos_runs import ClientGroup, percentile, run_clients
from tests.kit import database_snapshot
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.redis_keys import read_redis_keys
from tests.kit.stack import Stack

EXTREME_TEXT: Final = "BUY BTCUSD\nSL 59967.80\nTP1 60087.80\nTP2 60100.123456789012\nLOT 9999999999.999999999999999999"


class PoisonPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`phase_s` without poison, then as long with `poison_share` of it."""

    signals_per_second: float = 60.0
    phase_s: float = 20.0
    poison_share: float = 0.01
    timeout_s: float = 60.0


class PoisonReport(msgspec.Struct, frozen=True):
    """Lateness of the other accounts' steps without and with poison; `unfinished` orders of any kind have no end."""

    signals: int
    poison: int
    baseline_p95_s: float
    p95_s: float
    unfinished: int
    reasons: dict[str, int]
    last_end_s: float


async def run(stack: Stack, plan: PoisonPlan) -> PoisonReport:
    count = int(plan.phase_s * plan.signals_per_second)
    async with run_clients(stack, account_count=3) as clients:
        alone, others, poisoned = clients.accounts
        await clients.sender.send_all([alone], range(count), signals_per_second=plan.signals_per_second)
        injector = PoisonInjector(stack, poisoned)
        sending = clients.sender.send_all([others], range(count, 2 * count), signals_per_second=plan.signals_per_second)
        async with asyncio.TaskGroup() as group:
            group.create_task(sending)
            group.create_task(injector.run(max(4, round(count * plan.poison_share)), plan.phase_s))
        began = monotonic()
        unfinished = await _wait_for_ends(clients, plan.timeout_s)
        snapshot = await database_snapshot.read(stack.settings)
        baseline, late = (sorted(snapshot.compute_lateness_s(account.id)) for account in (alone, others))
        return PoisonReport(
            signals=2 * count,
            poison=injector.count,
            baseline_p95_s=percentile(baseline, 0.95),
            p95_s=percentile(late, 0.95),
            unfinished=unfinished,
            reasons=await injector.count_reasons(),
            last_end_s=monotonic() - began,
        )


async def _wait_for_ends(clients: ClientGroup, timeout_s: float) -> int:
    """Wait until every order has ended; return how many have not in time."""
    open_count = 0

    async def have_ended() -> bool:
        nonlocal open_count
        orders = (await database_snapshot.read(clients.stack.settings)).orders.values()
        open_count = sum(order.status not in {"closed", "rejected"} for order in orders)
        return not open_count

    try:
        await wait_until(have_ended, timeout_s=timeout_s, interval_s=0.2)
    except (TimeoutError, AssertionError):
        return open_count
    return 0


class PoisonInjector:
    """Injects one kind of poison after another. `count` is how many there were."""

    def __init__(self, stack: Stack, account: AccountClient) -> None:
        self._stack, self._account = stack, account
        self.count = 0
        self._kinds: tuple[Callable[[AsyncEngine], Awaitable[None]], ...] = (
            self._send_extreme_numbers,
            self._break_profile,
            self._break_row,
            self._enqueue_unknown_actor,
            self._enqueue_garbage,
        )

    async def run(self, count: int, duration_s: float) -> None:
        engine = create_engine(self._stack.settings.database_url, pool_size=1)
        for inject in itertools.islice(itertools.cycle(self._kinds), count):
            await inject(engine)
            self.count += 1
            await asyncio.sleep(duration_s / count)
        await engine.dispose()

    async def count_reasons(self) -> dict[str, int]:
        """Return how many of the injector's orders ended with each status or reason."""
        reasons: dict[str, int] = {}
        for order in (await self._account.get("/api/v1/orders", limit=500))["items"]:
            end = order["reason"] or order["status"]
            reasons[end] = reasons.get(end, 0) + 1
        return reasons

    async def _send_extreme_numbers(self, _engine: AsyncEngine) -> None:
        await self._account.send_signal(EXTREME_TEXT)

    async def _break_profile(self, engine: AsyncEngine) -> None:
        """Let the broker raise at every step of an order: it has no such profile."""
        await self._send_and_change(engine, "profile = 'nobody'")

    async def _break_row(self, engine: AsyncEngine) -> None:
        await self._send_and_change(engine, "closes = '{garbage'")

    async def _send_and_change(self, engine: AsyncEngine, assignment: str) -> None:
        sent = await self._account.send_signal()
        async with engine.begin() as connection:
            statement = text(f"UPDATE orders SET {assignment} WHERE id = CAST(:id AS uuid)")  # noqa: S608 - from above
            await connection.execute(statement, {"id": sent["order_id"]})

    async def _enqueue_unknown_actor(self, _engine: AsyncEngine) -> None:
        await self._enqueue(build_message("orders.unheard_of", ["1"]).encode())

    async def _enqueue_garbage(self, _engine: AsyncEngine) -> None:
        await self._enqueue(b"\xff{")

    async def _enqueue(self, message: bytes) -> None:
        keys = await read_redis_keys(self._stack.settings)
        client, message_id = redis_clients.connect(self._stack.settings.redis_url), f"poison-{self.count}"
        client.hset(f"{keys.jobs}:{QUEUE_NAME}.msgs", message_id, message)
        client.rpush(f"{keys.jobs}:{QUEUE_NAME}", message_id)
        client.close()
