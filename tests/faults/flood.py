"""Many subscribers on a few accounts while everything breaks, and what each of them saw held against the log.

Senders are those of the other campaigns; subscribers are cheap ones that cut themselves off in the middle of frames
and change transport with each session.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from time import monotonic

import httpx
import msgspec

from tests.faults.clients import RetryingSender
from tests.kit import database_snapshot
from tests.kit.account_client import AccountClient
from tests.kit.load_subscribers import TRANSPORTS, Subscriber, SubscriberBehavior
from tests.kit.observations import ObservationLog
from tests.kit.polling import wait_until
from tests.kit.stack import Stack

EVENTS_PER_SIGNAL = 4
_ACCOUNT_COUNT = 2
_rng = random.SystemRandom()


class FloodPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`rate` is the events a second that each subscriber is to be given."""

    subscriber_count: int
    events_per_second: float
    duration_s: float
    mean_cut_interval_s: float = 20.0
    web_kill_interval_s: float = 30.0
    timeout_s: float = 60.0


class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What all subscribers together saw, beside what the log holds for them."""

    deliveries: int = 0
    sessions: int = 0
    cuts: int = 0
    refusals: int = 0
    missing: int = 0
    doubled: int = 0
    disordered: int = 0
    foreign: int = 0
    told: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        return not (self.missing or self.doubled or self.disordered or self.foreign or self.told)


@asynccontextmanager
async def run_subscribers(
    stack: Stack, subscriber_count: int, account_count: int, behavior: SubscriberBehavior
) -> AsyncIterator["SubscriberGroup"]:
    """Fresh accounts and their subscribers, all of them following."""
    await stack.wait_until_ready()
    observations = ObservationLog(stack.directory / "flood.jsonl")
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=stack.base_url, limits=limits, timeout=20) as http:
        accounts = [await AccountClient.register(http) for _ in range(account_count)]
        crowd = SubscriberGroup(stack, accounts, RetryingSender(http, observations), subscriber_count, behavior)
        try:
            await crowd.start_all()
            yield crowd
        finally:
            await asyncio.gather(*(one.stop() for one in crowd.subscribers))
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
        """Let everybody in, some at a time."""
        for place, subscriber in enumerate(self.subscribers):
            subscriber.start()
            if place % 20 == 0:
                await asyncio.sleep(0.02)
        await wait_until(self._are_all_connected, timeout_s=timeout_s)

    async def _are_all_connected(self) -> bool:
        return all(one.sessions and one.seq for one in self.subscribers)

    async def send_signals(self, events_per_second: float, duration_s: float) -> None:
        """Signals whose events come at `rate` a second for each account."""
        signals_s = events_per_second * len(self.accounts) / EVENTS_PER_SIGNAL
        begin, self._sent_count = self._sent_count, self._sent_count + int(signals_s * duration_s)
        await self.sender.send_all(self.accounts, range(begin, self._sent_count), signals_per_second=signals_s)

    async def wait_until_caught_up(self, timeout_s: float) -> None:
        """Wait until every order has ended and everybody has been told, or for as long as that may take."""
        give_up = monotonic() + timeout_s
        while monotonic() < give_up:
            book = await database_snapshot.read(self.stack.settings)
            heads = {account.id: book.heads[account.id].seq for account in self.accounts}
            is_quiet = all(order.status in {"closed", "rejected"} for order in book.orders.values())
            if is_quiet and all(one.seq >= heads[one.account_id] for one in self.subscribers):
                break
            await asyncio.sleep(0.5)
        await asyncio.sleep(0.2)  # an event too many would come now

    def add_subscribers(
        self,
        account: AccountClient,
        count: int,
        behavior: SubscriberBehavior,
        subscriber_class: type[Subscriber] = Subscriber,
        **options: int,
    ) -> None:
        """Subscribers of one account who come later."""
        address = "127.0.0.1", self.stack.settings.web.port
        fresh = [subscriber_class(address, account.id, account.api_key, behavior, **options) for _ in range(count)]
        self.subscribers += fresh
        for one in fresh:
            one.start()

    async def build_report(self) -> DeliveryReport:
        """The verdict. Digests are of the event's exact text."""
        book = await database_snapshot.read(self.stack.settings)
        logs = {
            account.id: [hash(line.body.encode()) for line in book.event_logs[account.id]] for account in self.accounts
        }
        found = Counter[str]()
        for one in self.subscribers:
            found.update(compare_with_log(one, logs[one.account_id]))
        told = tuple(text for one in self.subscribers for text in one.control_messages)
        return DeliveryReport(told=told, **found)


def compare_with_log(subscriber: Subscriber, log: Sequence[int]) -> dict[str, int]:
    known = [
        0 < seq <= len(log) and log[seq - 1] == digest
        for seq, digest in zip(subscriber.seqs, subscriber.digests, strict=True)
    ]
    distinct = set(subscriber.seqs)
    return {
        "deliveries": len(subscriber.seqs),
        "sessions": subscriber.sessions,
        "cuts": subscriber.cuts,
        "refusals": subscriber.refusals,
        "missing": len(set(range(subscriber.after + 1, len(log) + 1)) - distinct),
        "doubled": len(subscriber.seqs) - len(distinct),
        "disordered": sum(after < before for before, after in pairwise(subscriber.seqs)),
        "foreign": known.count(False),
    }


async def run(stack: Stack, plan: FloodPlan) -> DeliveryReport:
    async with run_subscribers(
        stack,
        plan.subscriber_count,
        _ACCOUNT_COUNT,
        SubscriberBehavior(mean_cut_interval_s=plan.mean_cut_interval_s, reconnect_delay_range_s=(0.1, 1.0)),
    ) as crowd:
        async with asyncio.TaskGroup() as group:
            group.create_task(crowd.send_signals(plan.events_per_second, plan.duration_s))
            for strike in _schedule_faults(crowd, plan):
                group.create_task(strike)
        await crowd.wait_until_caught_up(plan.timeout_s)
        return await crowd.build_report()


def _schedule_faults(group: SubscriberGroup, plan: FloodPlan) -> list[Coroutine[None, None, None]]:
    """A web process every while; Valkey emptied twice, PostgreSQL once, and in the middle other transports."""
    stack, whole = group.stack, plan.duration_s
    webs = int(whole / plan.web_kill_interval_s)
    return [
        *(_run_after(number * plan.web_kill_interval_s, _kill_web_process(stack)) for number in range(1, webs + 1)),
        *(_run_after(whole * part, stack.restart_valkey(empty=True)) for part in (0.3, 0.7)),
        _run_after(whole * 0.5, stack.restart_postgres()),
        _run_after(whole * 0.45, _change_transports(group)),
    ]


async def _run_after(delay_s: float, action: Coroutine[None, None, None]) -> None:
    await asyncio.sleep(delay_s)
    await action


async def _kill_web_process(stack: Stack) -> None:
    await asyncio.to_thread(stack.web.kill_child)  # the oldest, so that each has its turn


async def _change_transports(group: SubscriberGroup) -> None:
    """Everybody prefers one that is not the usual any more."""
    for subscriber in group.subscribers:
        subscriber.behavior = msgspec.structs.replace(subscriber.behavior, transports=_rng.sample(TRANSPORTS, 2))
