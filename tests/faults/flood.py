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

from tests.faults.clients import Sender
from tests.kit import ledger
from tests.kit.observations import Observations
from tests.kit.stack import Stack
from tests.kit.subscribers import TRANSPORTS, Habits, Subscriber
from tests.kit.trader import Trader
from tests.kit.waiting import until

EVENTS_OF_A_SIGNAL = 4
_ACCOUNTS = 2
_dice = random.SystemRandom()


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """`rate` is the events a second that each subscriber is to be given."""

    subscribers: int
    rate: float
    seconds: float
    cut_s: float = 20.0
    web_kill_s: float = 30.0
    patience_s: float = 60.0


class Sight(msgspec.Struct, frozen=True, kw_only=True):
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
    def is_whole(self) -> bool:
        return not (self.missing or self.doubled or self.disordered or self.foreign or self.told)


@asynccontextmanager
async def audience(stack: Stack, count: int, accounts: int, habits: Habits) -> AsyncIterator["Crowd"]:
    """Fresh accounts and their subscribers, all of them following."""
    await stack.ready()
    observations = Observations(stack.home / "flood.jsonl")
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=stack.url, limits=limits, timeout=20) as http:
        traders = [await Trader.register(http) for _ in range(accounts)]
        crowd = Crowd(stack, traders, Sender(http, observations), count, habits)
        try:
            await crowd.gather()
            yield crowd
        finally:
            await asyncio.gather(*(one.stop() for one in crowd.subscribers))
            observations.close()


class Crowd:
    def __init__(self, stack: Stack, traders: Sequence[Trader], sender: Sender, count: int, habits: Habits) -> None:
        self.stack, self.traders, self.sender = stack, traders, sender
        self._sent = 0
        address = "127.0.0.1", stack.settings.port
        self.subscribers = [
            Subscriber(address, trader.id, trader.key, habits)
            for trader in (traders[number % len(traders)] for number in range(count))
        ]

    async def gather(self, timeout_s: float = 60.0) -> None:
        """Let everybody in, some at a time."""
        for place, subscriber in enumerate(self.subscribers):
            subscriber.start()
            if place % 20 == 0:
                await asyncio.sleep(0.02)
        await until(self._are_all_in, timeout_s=timeout_s)

    async def _are_all_in(self) -> bool:
        return all(one.sessions and one.seq for one in self.subscribers)

    async def send(self, rate: float, seconds: float) -> None:
        """Signals whose events come at `rate` a second for each account."""
        signals_s = rate * len(self.traders) / EVENTS_OF_A_SIGNAL
        begin, self._sent = self._sent, self._sent + int(signals_s * seconds)
        await self.sender.send_all(self.traders, range(begin, self._sent), rate=signals_s)

    async def settle(self, timeout_s: float) -> None:
        """Wait until every order has ended and everybody has been told, or for as long as that may take."""
        give_up = monotonic() + timeout_s
        while monotonic() < give_up:
            book = await ledger.read(self.stack.settings)
            heads = {trader.id: book.heads[trader.id].seq for trader in self.traders}
            is_quiet = all(order.status in {"closed", "rejected"} for order in book.orders.values())
            if is_quiet and all(one.seq >= heads[one.account_id] for one in self.subscribers):
                break
            await asyncio.sleep(0.5)
        await asyncio.sleep(0.2)  # an event too many would come now

    def add(self, trader: Trader, count: int, habits: Habits, kind: type[Subscriber] = Subscriber, **more: int) -> None:
        """Subscribers of one account who come later."""
        address = "127.0.0.1", self.stack.settings.port
        fresh = [kind(address, trader.id, trader.key, habits, **more) for _ in range(count)]
        self.subscribers += fresh
        for one in fresh:
            one.start()

    async def sight(self) -> Sight:
        """The verdict. Digests are of the event's exact text."""
        book = await ledger.read(self.stack.settings)
        logs = {trader.id: [hash(line.body.encode()) for line in book.logs[trader.id]] for trader in self.traders}
        found = Counter[str]()
        for one in self.subscribers:
            found.update(compared(one, logs[one.account_id]))
        told = tuple(text for one in self.subscribers for text in one.told)
        return Sight(told=told, **found)


def compared(one: Subscriber, log: Sequence[int]) -> dict[str, int]:
    known = [0 < seq <= len(log) and log[seq - 1] == digest for seq, digest in zip(one.seqs, one.digests, strict=True)]
    distinct = set(one.seqs)
    return {
        "deliveries": len(one.seqs),
        "sessions": one.sessions,
        "cuts": one.cuts,
        "refusals": one.refusals,
        "missing": len(set(range(one.after + 1, len(log) + 1)) - distinct),
        "doubled": len(one.seqs) - len(distinct),
        "disordered": sum(after < before for before, after in pairwise(one.seqs)),
        "foreign": known.count(False),
    }


async def run(stack: Stack, plan: Flood) -> Sight:
    async with audience(stack, plan.subscribers, _ACCOUNTS, Habits(cut_s=plan.cut_s, pause_s=(0.1, 1.0))) as crowd:
        async with asyncio.TaskGroup() as group:
            group.create_task(crowd.send(plan.rate, plan.seconds))
            for strike in _strikes(crowd, plan):
                group.create_task(strike)
        await crowd.settle(plan.patience_s)
        return await crowd.sight()


def _strikes(crowd: Crowd, plan: Flood) -> list[Coroutine[None, None, None]]:
    """A web process every while; Valkey emptied twice, PostgreSQL once, and in the middle other transports."""
    stack, whole = crowd.stack, plan.seconds
    webs = int(whole / plan.web_kill_s)
    return [
        *(_at(number * plan.web_kill_s, _kill_web(stack)) for number in range(1, webs + 1)),
        *(_at(whole * part, stack.restart_valkey(empty=True)) for part in (0.3, 0.7)),
        _at(whole * 0.5, stack.restart_postgres()),
        _at(whole * 0.45, _change_transports(crowd)),
    ]


async def _at(seconds: float, deed: Coroutine[None, None, None]) -> None:
    await asyncio.sleep(seconds)
    await deed


async def _kill_web(stack: Stack) -> None:
    await asyncio.to_thread(stack.web.kill_child)  # the oldest, so that each has its turn


async def _change_transports(crowd: Crowd) -> None:
    """Everybody prefers one that is not the usual any more."""
    for subscriber in crowd.subscribers:
        subscriber.habits = msgspec.structs.replace(subscriber.habits, transports=_dice.sample(TRANSPORTS, 2))
