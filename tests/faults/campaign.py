"""A campaign: senders and followers at work while something is killed again and again, and then the verdict.

The tests run short ones, `run.py` long ones; the proof is the same.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import msgspec

from tests.faults.clients import Follower, Sender, SocketFollower, SseFollower
from tests.kit import ledger
from tests.kit.checker import Verdict, judge, leaks
from tests.kit.observations import Observations
from tests.kit.stack import Stack
from tests.kit.trader import Trader
from tests.kit.waiting import until

Strike = Callable[[Stack], Awaitable[None]]
"""Does the damage, and brings back what does not come back by itself."""

_runs = itertools.count(1)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`strikes` blows with a pause before each, while `signals` are sent at `rate` a second by `accounts`."""

    signals: int
    rate: float
    accounts: int = 3
    strikes: int = 1
    pause_s: float = 1.0
    patience_s: float = 60.0


class Crew:
    """The clients of one run and what they saw. Every account is followed over SSE, the first over WebSocket too."""

    def __init__(
        self, stack: Stack, http: httpx.AsyncClient, observations: Observations, traders: Sequence[Trader]
    ) -> None:
        self.stack, self.http, self.traders, self.observations = stack, http, traders, observations
        self.sender = Sender(http, observations)
        self.followers: list[Follower] = [
            SocketFollower(http, traders[0], observations, "ws"),
            *(SseFollower(http, trader, observations, f"sse{n}") for n, trader in enumerate(traders)),
        ]

    async def verdict(self, patience_s: float = 60.0) -> Verdict:
        """Wait until every order has ended and every follower knows it, and judge."""
        await until(self._is_quiet, timeout_s=patience_s, every_s=0.2)
        book = await ledger.read(self.stack.settings)
        for follower in self.followers:
            await follower.reach(book.heads[follower.trader.id].seq)
        await asyncio.sleep(0.1)  # an event too many would come now
        for follower in self.followers:
            await follower.cut()
        verdict = judge(self.observations.all(), book, {trader.id for trader in self.traders})
        return msgspec.structs.replace(verdict, faults=(*verdict.faults, *self._leaks()))

    async def _is_quiet(self) -> bool:
        book = await ledger.read(self.stack.settings)
        mine = {trader.id for trader in self.traders}
        return all(one.status in {"closed", "rejected"} for one in book.orders.values() if one.account_id in mine)

    def _leaks(self) -> list[str]:
        secrets = [self.stack.settings.encryption_keys, "s3cret", *(trader.key for trader in self.traders)]
        return [f"I7 a secret in {name}" for name in leaks(self.stack.logs, secrets)]


@asynccontextmanager
async def crew(stack: Stack, *, accounts: int = 1) -> AsyncIterator[Crew]:
    """Fresh accounts and their clients."""
    await stack.ready()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    observations = Observations(stack.home / f"observations-{next(_runs)}.jsonl")
    async with httpx.AsyncClient(base_url=stack.url, limits=limits, timeout=20) as http:
        traders = [await Trader.register(http) for _ in range(accounts)]
        found = Crew(stack, http, observations, traders)
        try:
            yield found
        finally:
            for follower in found.followers:
                await follower.cut()
            observations.close()


async def run(stack: Stack, plan: Plan, strike: Strike) -> Verdict:
    async with crew(stack, accounts=plan.accounts) as hands:
        for follower in hands.followers:
            follower.start()
        sending = hands.sender.send_all(hands.traders, range(plan.signals), rate=plan.rate)
        async with asyncio.TaskGroup() as group:
            group.create_task(sending)
            group.create_task(_strike(stack, plan, strike))
        return await hands.verdict(plan.patience_s)


async def _strike(stack: Stack, plan: Plan, strike: Strike) -> None:
    for _ in range(plan.strikes):
        await asyncio.sleep(plan.pause_s)
        await strike(stack)


def share(values: Sequence[float], part: float) -> float:
    """The value below which `part` of the sorted `values` lie."""
    return values[min(int(part * len(values)), len(values) - 1)] if values else 0.0
