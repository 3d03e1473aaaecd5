"""Send signals and follow streams while a fault is injected repeatedly, then check the invariants.

The tests run short chaos runs, `run.py` long ones; the check is the same.
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
"""Causes a fault and restarts what does not restart by itself."""

_run_numbers = itertools.count(1)


class ChaosRunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`fault_count` faults, with a pause before each, while `signal_count` signals are sent at an even rate."""

    signal_count: int
    signals_per_second: float
    account_count: int = 3
    fault_count: int = 1
    pause_before_fault_s: float = 1.0
    timeout_s: float = 60.0


class ClientGroup:
    """The clients of one run and their observations. All accounts have an SSE subscriber, the first also WebSocket."""

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
        """Wait until every order has ended and every subscriber has its last event, then check the invariants."""
        await wait_until(self._have_all_orders_ended, timeout_s=timeout_s, interval_s=0.2)
        snapshot = await database_snapshot.read(self.stack.settings)
        for subscriber in self.subscribers:
            await subscriber.wait_for_seq(snapshot.heads[subscriber.account.id].seq)
        await asyncio.sleep(0.1)  # a surplus event would arrive now
        for subscriber in self.subscribers:
            await subscriber.disconnect()
        report = check_invariants(self.observations.read_all(), snapshot, {account.id for account in self.accounts})
        return msgspec.structs.replace(report, violations=(*report.violations, *self._find_secret_leaks()))

    async def _have_all_orders_ended(self) -> bool:
        snapshot = await database_snapshot.read(self.stack.settings)
        own_ids = {account.id for account in self.accounts}
        orders = [order for order in snapshot.orders.values() if order.account_id in own_ids]
        return all(order.status in {"closed", "rejected"} for order in orders)

    def _find_secret_leaks(self) -> list[str]:
        secrets = [self.stack.settings.encryption_keys, "s3cret", *(account.api_key for account in self.accounts)]
        return [f"I7 a secret in {name}" for name in find_secret_leaks(self.stack.log_files, secrets)]


@asynccontextmanager
async def run_clients(stack: Stack, *, account_count: int = 1) -> AsyncIterator[ClientGroup]:
    """Register accounts and create their clients; disconnect them at the end."""
    await stack.wait_until_ready()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    observations = ObservationLog(stack.directory / f"observations-{next(_run_numbers)}.jsonl")
    async with httpx.AsyncClient(base_url=stack.base_url, limits=limits, timeout=20) as http:
        accounts = [await AccountClient.register(http) for _ in range(account_count)]
        clients = ClientGroup(stack, http, observations, accounts)
        try:
            yield clients
        finally:
            for subscriber in clients.subscribers:
                await subscriber.disconnect()
            observations.close()


async def run(stack: Stack, plan: ChaosRunPlan, inject_fault: FaultInjector) -> InvariantReport:
    async with run_clients(stack, account_count=plan.account_count) as clients:
        for subscriber in clients.subscribers:
            subscriber.start()
        sending = clients.sender.send_all(
            clients.accounts, range(plan.signal_count), signals_per_second=plan.signals_per_second
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(sending)
            group.create_task(_inject_faults(stack, plan, inject_fault))
        return await clients.wait_and_check(plan.timeout_s)


async def _inject_faults(stack: Stack, plan: ChaosRunPlan, inject_fault: FaultInjector) -> None:
    for _ in range(plan.fault_count):
        await asyncio.sleep(plan.pause_before_fault_s)
        await inject_fault(stack)


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the value below which the given fraction of the sorted `values` lies."""
    return values[min(int(fraction * len(values)), len(values) - 1)] if values else 0.0
