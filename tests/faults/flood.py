"""Many subscribers on a few accounts during faults; compare what each received with the event log.

The subscribers are cheap enough for thousands. They cut their connections in the middle of frames and change the
transport with each session.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import httpx
import msgspec

from tests.faults.clients import RetryingSender
from tests.kit import database_snapshot
from tests.kit.account_client import AccountClient
from tests.kit.load_subscribers import TRANSPORTS, Subscriber, SubscriberBehavior
from tests.kit.observations import ObservationLog
from tests.kit.polling import wait_until
from tests.kit.sequence_faults import compare_sequence
from tests.kit.stack import Stack

EVENTS_PER_SIGNAL = 4
_ACCOUNT_COUNT = 2
_rng = random.SystemRandom()


class FloodPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`events_per_second` counts for each subscriber."""

    subscriber_count: int
    events_per_second: float
    duration_s: float
    mean_cut_interval_s: float = 20.0
    web_kill_interval_s: float = 30.0
    timeout_s: float = 60.0


class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What all subscribers together received, compared with the log.

    `control_messages` are resets and gaps, for which there is no reason in these runs.
    """

    deliveries: int = 0
    sessions: int = 0
    cuts: int = 0
    refusals: int = 0
    missing: int = 0
    repeated: int = 0
    disordered: int = 0
    foreign: int = 0
    control_messages: tuple[str, ...] = ()

    @property
    def violations(self) -> dict[str, int]:
        """Return what must be 0 and is not."""
        counts = {name: int(getattr(self, name)) for name in ("missing", "repeated", "disordered", "foreign")}
        counts["control"] = len(self.control_messages)
        return {name: count for name, count in counts.items() if count}

    @property
    def is_complete(self) -> bool:
        return not self.violations


@asynccontextmanager
async def run_subscribers(
    stack: Stack, subscriber_count: int, account_count: int, behavior: SubscriberBehavior
) -> AsyncIterator["SubscriberGroup"]:
    """Register accounts and connect their subscribers; stop them at the end."""
    await stack.wait_until_ready()
    observations = ObservationLog(stack.directory / "flood.jsonl")
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=stack.base_url, limits=limits, timeout=20) as http:
        accounts = [await AccountClient.register(http) for _ in range(account_count)]
        group = SubscriberGroup(stack, accounts, RetryingSender(http, observations), subscriber_count, behavior)
        try:
            await group.start_all()
            yield group
        finally:
            await asyncio.gather(*(subscriber.stop() for subscriber in group.subscribers))
            observations.close()


class SubscriberGroup:
    def __init__(
        self,
        stack: Stack,
        accounts: Sequence[AccountClient],
        sender: RetryingSender,
        subscriber_count: int,
        behavior: SubscriberBehavior,
    ) -> None:
        self.stack, self.accounts, self.sender = stack, accounts, sender
        self._sent_count = 0
        address = "127.0.0.1", stack.settings.web.port
        self.subscribers = [
            Subscriber(address, account.id, account.api_key, behavior)
            for account in (accounts[number % len(accounts)] for number in range(subscriber_count))
        ]

    async def start_all(self, timeout_s: float = 60.0) -> None:
        """Connect all subscribers, twenty at a time."""
        for number, subscriber in enumerate(self.subscribers):
            subscriber.start()
            if number % 20 == 0:
                await asyncio.sleep(0.02)
        await wait_until(self._are_all_connected, timeout_s=timeout_s)

    async def _are_all_connected(self) -> bool:
        return all(subscriber.sessions and subscriber.seq for subscriber in self.subscribers)

    async def send_signals(self, events_per_second: float, duration_s: float) -> None:
        """Send signals so that each account has `events_per_second`."""
        signals_s = events_per_second * len(self.accounts) / EVENTS_PER_SIGNAL
        start, self._sent_count = self._sent_count, self._sent_count + int(signals_s * duration_s)
        await self.sender.send_all(self.accounts, range(start, self._sent_count), signals_per_second=signals_s)

    async def wait_until_caught_up(self, timeout_s: float) -> None:
        """Wait until every order has ended and every subscriber has its last event, at most `timeout_s`."""
        deadline = monotonic() + timeout_s
        while monotonic() < deadline:
            snapshot = await database_snapshot.read(self.stack.settings)
            heads = {account.id: snapshot.heads[account.id].seq for account in self.accounts}
            is_quiet = all(order.status in {"closed", "rejected"} for order in snapshot.orders.values())
            if is_quiet and all(subscriber.seq >= heads[subscriber.account_id] for subscriber in self.subscribers):
                break
            await asyncio.sleep(0.5)
        await asyncio.sleep(0.2)  # a surplus event would arrive now

    def add_subscribers(
        self,
        account: AccountClient,
        count: int,
        behavior: SubscriberBehavior,
        subscriber_class: type[Subscriber] = Subscriber,
        **options: int,
    ) -> None:
        """Connect more subscribers of one account."""
        address = "127.0.0.1", self.stack.settings.web.port
        added = [subscriber_class(address, account.id, account.api_key, behavior, **options) for _ in range(count)]
        self.subscribers += added
        for subscriber in added:
            subscriber.start()

    async def build_report(self) -> DeliveryReport:
        """Compare all subscribers with the logs in the database."""
        snapshot = await database_snapshot.read(self.stack.settings)
        logs = {
            account.id: [hash(line.body.encode()) for line in snapshot.event_logs[account.id]]
            for account in self.accounts
        }
        return build_delivery_report(self.subscribers, logs)


def build_delivery_report(subscribers: Sequence[Subscriber], logs: Mapping[str, Sequence[int]]) -> DeliveryReport:
    """Compare subscribers with the logs of their accounts, given as the digest of each event's exact text."""
    totals = Counter[str]()
    for subscriber in subscribers:
        totals.update(compare_with_log(subscriber, logs[subscriber.account_id]))
    control_messages = tuple(text for subscriber in subscribers for text in subscriber.control_messages)
    return DeliveryReport(control_messages=control_messages, **totals)


def compare_with_log(subscriber: Subscriber, log: Sequence[int]) -> dict[str, int]:
    is_known = [
        0 < seq <= len(log) and log[seq - 1] == digest
        for seq, digest in zip(subscriber.seqs, subscriber.digests, strict=True)
    ]
    expected_seqs = set(range(subscriber.after + 1, len(log) + 1))
    return {
        "deliveries": len(subscriber.seqs),
        "sessions": subscriber.sessions,
        "cuts": subscriber.cuts,
        "refusals": subscriber.refusals,
        "foreign": is_known.count(False),
        **msgspec.structs.asdict(compare_sequence(subscriber.seqs, expected_seqs)),
    }


async def run(stack: Stack, plan: FloodPlan) -> DeliveryReport:
    async with run_subscribers(
        stack,
        plan.subscriber_count,
        _ACCOUNT_COUNT,
        SubscriberBehavior(mean_cut_interval_s=plan.mean_cut_interval_s, reconnect_delay_range_s=(0.1, 1.0)),
    ) as group:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(group.send_signals(plan.events_per_second, plan.duration_s))
            for fault in _schedule_faults(group, plan):
                tasks.create_task(fault)
        await group.wait_until_caught_up(plan.timeout_s)
        return await group.build_report()


def _schedule_faults(group: SubscriberGroup, plan: FloodPlan) -> list[Coroutine[None, None, None]]:
    """Kill a web process at intervals, empty Valkey twice, kill PostgreSQL once and change transports midway."""
    stack, duration_s = group.stack, plan.duration_s
    kill_count = int(duration_s / plan.web_kill_interval_s)
    return [
        *(
            _run_after(number * plan.web_kill_interval_s, _kill_web_process(stack))
            for number in range(1, kill_count + 1)
        ),
        *(_run_after(duration_s * part, stack.restart_valkey(empty=True)) for part in (0.3, 0.7)),
        _run_after(duration_s * 0.5, stack.restart_postgres()),
        _run_after(duration_s * 0.45, _change_transports(group)),
    ]


async def _run_after(delay_s: float, action: Coroutine[None, None, None]) -> None:
    await asyncio.sleep(delay_s)
    await action


async def _kill_web_process(stack: Stack) -> None:
    await asyncio.to_thread(stack.web.kill_child)  # kills the oldest, so each is killed in turn


async def _change_transports(group: SubscriberGroup) -> None:
    """Let every subscriber use two transports from now on, drawn at random."""
    for subscriber in group.subscribers:
        subscriber.behavior = msgspec.structs.replace(subscriber.behavior, transports=_rng.sample(TRANSPORTS, 2))
