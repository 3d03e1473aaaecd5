"""A campaign: senders and followers at work while something is killed again and again, and then the verdict.

The tests run short ones, `run.py` long ones; the proof is the same.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import msgspec

from tests.faults.clients import (
    RecordingSseSubscriber,
    RecordingSubscriber,
    RecordingWebSocketSubscriber,
    RetryingSender,
)
from tests.kit import database_snapshot
from tests.kit.account_client import AccountClient
from tests.kit.invariants import InvariantReport, check_invariants, find_secret_leaks
from tests.kit.observations import ObservationLog
from tests.kit.polling import wait_until
from tests.kit.stack import Stack

FaultInjector = Callable[[Stack], Awaitable[None]]
"""Does the damage, and brings back what does not come back by itself."""

_run_numbers = itertools.count(1)


class ChaosRunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`strikes` blows with a pause before each, while `signals` are sent at `rate` a second by `accounts`."""

    signal_count: int
    signals_per_second: float
    account_count: int = 3
    fault_count: int = 1
    pause_before_fault_s: float = 1.0
    timeout_s: float = 60.0


class ClientGroup:
    """The clients of one run and what they saw. Every account is followed over SSE, the first over WebSocket too."""

    def __init__(
        self, stack: Stack, http: httpx.AsyncClient, observations: ObservationLog, accounts: Sequence[AccountClient]
    ) -> None:
        self.stack, self.http, self.accounts, self.observations = stack, http, accounts, observations
        self.sender = RetryingSender(http, observations)
        self.subscribers: list[RecordingSubscriber] = [
            RecordingWebSocketSubscriber(http, accounts[0], observations, "ws"),
            *(RecordingSseSubscriber(http, account, observations, f"sse{n}") for n, account in enumerate(accounts)),
        ]

    async def wait_and_check(self, timeout_s: float = 60.0) -> InvariantReport:
        """Wait until every order has ended and every follower knows it, and judge."""
        await wait_until(self._have_all_orders_ended, timeout_s=timeout_s, interval_s=0.2)
        book = await database_snapshot.read(self.stack.settings)
        for follower in self.subscribers:
            await follower.wait_for_seq(book.heads[follower.account.id].seq)
        await asyncio.sleep(0.1)  # an event too many would come now
        for follower in self.subscribers:
            await follower.disconnect()
        verdict = check_invariants(self.observations.read_all(), book, {account.id for account in self.accounts})
        return msgspec.structs.replace(verdict, violations=(*verdict.violations, *self._find_secret_leaks()))

    async def _have_all_orders_ended(self) -> bool:
        book = await database_snapshot.read(self.stack.settings)
        mine = {account.id for account in self.accounts}
        return all(one.status in {"closed", "rejected"} for one in book.orders.values() if one.account_id in mine)

    def _find_secret_leaks(self) -> list[str]:
        secrets = [self.stack.settings.encryption_keys, "s3cret", *(account.api_key for account in self.accounts)]
        return [f"I7 a secret in {name}" for name in find_secret_leaks(self.stack.log_files, secrets)]


@asynccontextmanager
async def run_clients(stack: Stack, *, account_count: int = 1) -> AsyncIterator[ClientGroup]:
    """Fresh accounts and their clients."""
    await stack.wait_until_ready()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    observations = ObservationLog(stack.directory / f"observations-{next(_run_numbers)}.jsonl")
    async with httpx.AsyncClient(base_url=stack.base_url, limits=limits, timeout=20) as http:
        accounts = [await AccountClient.register(http) for _ in range(account_count)]
        found = ClientGroup(stack, http, observations, accounts)
        try:
            yield found
        finally:
            for follower in found.subscribers:
                await follower.disconnect()
            observations.close()


async def run(stack: Stack, plan: ChaosRunPlan, inject_fault: FaultInjector) -> InvariantReport:
    async with run_clients(stack, account_count=plan.account_count) as hands:
        for follower in hands.subscribers:
            follower.start()
        sending = hands.sender.send_all(
            hands.accounts, range(plan.signal_count), signals_per_second=plan.signals_per_second
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(sending)
            group.create_task(_inject_faults(stack, plan, inject_fault))
        return await hands.wait_and_check(plan.timeout_s)


async def _inject_faults(stack: Stack, plan: ChaosRunPlan, inject_fault: FaultInjector) -> None:
    for _ in range(plan.fault_count):
        await asyncio.sleep(plan.pause_before_fault_s)
        await inject_fault(stack)


def percentile(values: Sequence[float], fraction: float) -> float:
    """The value below which `part` of the sorted `values` lie."""
    return values[min(int(fraction * len(values)), len(values) - 1)] if values else 0.0
