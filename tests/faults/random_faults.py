"""Random faults of every kind while signals are sent and followed: `run.py any`.

Whatever the service consists of is found in the process tree when a fault begins, so that nothing here depends on how
processes supervise each other. What clients observed is kept compactly: a run acknowledges a hundred thousand signals.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

import httpx
import msgspec
import psutil  # type: ignore[import-untyped]  # it ships none
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from db import event_log
from db.engine import create_engine
from signalhub import redis_clients
from signalhub.domain.events import chain_hash
from tests.faults.clients import RetryingSender
from tests.faults.flood import DeliveryReport, build_delivery_report
from tests.kit.account_client import AccountClient
from tests.kit.keep_alive_transport import KeepAliveTransport
from tests.kit.load_subscribers import Subscriber, SubscriberBehavior
from tests.kit.observations import AnswerObserved, ConnectionLost, Observation
from tests.kit.stack import FrozenProcess, Stack
from tests.kit.supervised_command import SupervisedCommand

_FREEZE_RANGE_S: Final = (1.0, 6.0)
_TRANSPORTS: Final = ("sse", "websocket")

_SELECT_ORDERS = text("""
    SELECT orders.id::text AS id, signals.idempotency_key AS key, orders.status FROM orders
    JOIN signals ON signals.account_id = orders.account_id AND signals.id = orders.signal_id
    WHERE orders.account_id = CAST(:account AS uuid)
""")
_COUNT_REPEATED_MOVES = text("""
    SELECT count(*) FROM (
        SELECT 1 FROM events WHERE account_id = CAST(:account AS uuid) AND order_id IS NOT NULL
            AND type NOT IN ('order.retrying', 'order.partially_closed') GROUP BY order_id, type HAVING count(*) > 1
    ) AS repeated
""")
_SELECT_LOG = text("""
    SELECT seq, body, hash FROM events WHERE account_id = CAST(:account AS uuid) AND seq > :after
    ORDER BY seq LIMIT 5000
""")
_COUNT_OPEN_ORDERS = text("SELECT count(*) FROM orders WHERE status IN ('pending', 'executed')")


RandomFault = Callable[[Stack, random.Random], Awaitable[None]]
"""Causes a fault and restarts what does not restart by itself."""


class RandomFaultPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Each account is followed by one subscriber over SSE and one over WebSocket."""

    duration_s: float
    signals_per_second: float
    pause_before_fault_s: float
    seed: int
    account_count: int = 4
    timeout_s: float = 120.0


class RandomFaultReport(msgspec.Struct, frozen=True, kw_only=True):
    """What clients observed, compared with the database."""

    faults: Mapping[str, int]
    acknowledged: int
    unavailable: int
    connections_lost: int
    slowest_refusal_s: float
    orders: int
    lost: int
    doubled: int
    not_ended: int
    broken_logs: int
    delivery: DeliveryReport

    @property
    def violations(self) -> dict[str, int]:
        """Return what must be 0 and is not."""
        counts = {name: int(getattr(self, name)) for name in ("lost", "doubled", "not_ended", "broken_logs")}
        return {name: count for name, count in counts.items() if count} | self.delivery.violations


class AcknowledgementLog:
    """Takes the place of an `ObservationLog`: keeps the order of each acknowledged key, and counts the rest."""

    def __init__(self) -> None:
        self.order_ids: dict[tuple[str, str], str] = {}
        self.contradictions = self.unavailable = self.connections_lost = 0
        self.slowest_refusal_s = 0.0

    def record(self, observation: Observation) -> None:
        match observation:
            case AnswerObserved(key=key, account_id=account_id, status=status, body=body) if status < 300:
                order_id = self.order_ids.setdefault((account_id, key), body["order_id"])
                self.contradictions += order_id != body["order_id"]
            case AnswerObserved(status=status, took_s=took_s) if status >= 500:
                self.unavailable += 1
                self.slowest_refusal_s = max(self.slowest_refusal_s, took_s)
            case ConnectionLost():
                self.connections_lost += 1
            case _:
                pass


async def run(stack: Stack, plan: RandomFaultPlan) -> RandomFaultReport:
    await stack.wait_until_ready()
    log = AcknowledgementLog()
    # A request to a frozen process is sent again, to another one, with the same key.
    async with httpx.AsyncClient(base_url=stack.base_url, transport=KeepAliveTransport(), timeout=4.0) as http:
        accounts = [await AccountClient.register(http) for _ in range(plan.account_count)]
        subscribers = _create_subscribers(stack, accounts)
        for subscriber in subscribers:
            subscriber.start()
        try:
            faults = await _send_and_inject(stack, plan, RetryingSender(http, log), accounts)
            await _wait_until_caught_up(stack, accounts, subscribers, plan.timeout_s)
        finally:
            await asyncio.gather(*(subscriber.stop() for subscriber in subscribers))
    return await _build_report(stack, accounts, subscribers, log, faults)


def _create_subscribers(stack: Stack, accounts: Sequence[AccountClient]) -> list[Subscriber]:
    address = "127.0.0.1", stack.settings.web.port
    behaviors = [
        SubscriberBehavior(transports=(transport,), reconnect_delay_range_s=(0.1, 0.5)) for transport in _TRANSPORTS
    ]
    return [
        Subscriber(address, account.id, account.api_key, behavior) for account in accounts for behavior in behaviors
    ]


async def _send_and_inject(
    stack: Stack, plan: RandomFaultPlan, sender: RetryingSender, accounts: Sequence[AccountClient]
) -> Counter[str]:
    """Send all signals while faults are injected. Returns how often each was."""
    rng, faults = random.Random(plan.seed), Counter[str]()  # noqa: S311 - to be repeatable
    has_sent = asyncio.Event()

    async def inject_faults() -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(has_sent.wait(), plan.pause_before_fault_s)
                return
            name = rng.choice(list(RANDOM_FAULTS))
            faults[name] += 1
            await RANDOM_FAULTS[name](stack, rng)

    async def send() -> None:
        signal_numbers = range(int(plan.duration_s * plan.signals_per_second))
        await sender.send_all(accounts, signal_numbers, signals_per_second=plan.signals_per_second, max_in_flight=64)
        has_sent.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(inject_faults())
        tasks.create_task(send())
    return faults


async def _wait_until_caught_up(
    stack: Stack, accounts: Sequence[AccountClient], subscribers: Sequence[Subscriber], timeout_s: float
) -> None:
    """Wait until every order has ended and every subscriber has its last event, at most `timeout_s`."""
    engine, deadline = create_engine(stack.settings.database_url), monotonic() + timeout_s
    try:
        while monotonic() < deadline:
            with suppress(SQLAlchemyError, OSError, TimeoutError):  # the last fault may have stopped it
                async with engine.connect() as connection:
                    is_open = (await connection.execute(_COUNT_OPEN_ORDERS)).scalar_one() > 0
                    heads = await event_log.get_heads(connection, [account.id for account in accounts])
                if not is_open and all(subscriber.seq >= heads[subscriber.account_id] for subscriber in subscribers):
                    break
            await asyncio.sleep(0.5)
    finally:
        await engine.dispose()
    await asyncio.sleep(0.2)  # a surplus event would arrive now


async def _build_report(
    stack: Stack,
    accounts: Sequence[AccountClient],
    subscribers: Sequence[Subscriber],
    log: AcknowledgementLog,
    faults: Mapping[str, int],
) -> RandomFaultReport:
    totals, digests_by_account = Counter[str](), dict[str, list[int]]()
    engine = create_engine(stack.settings.database_url, statement_timeout_s=60.0)
    async with engine.connect() as connection:
        for account in accounts:
            totals.update(await _check_orders(connection, account.id, log))
            digests_by_account[account.id], broken_logs = await _read_log(connection, account.id)
            totals["broken_logs"] += broken_logs
    await engine.dispose()
    return RandomFaultReport(
        faults=faults,
        acknowledged=len(log.order_ids),
        unavailable=log.unavailable,
        connections_lost=log.connections_lost,
        slowest_refusal_s=log.slowest_refusal_s,
        orders=totals["orders"],
        lost=totals["lost"] + log.contradictions,
        doubled=totals["doubled_orders"] + totals["repeated_moves"],
        not_ended=totals["not_ended"],
        broken_logs=totals["broken_logs"],
        delivery=build_delivery_report(subscribers, digests_by_account),
    )


async def _check_orders(connection: AsyncConnection, account_id: str, log: AcknowledgementLog) -> dict[str, int]:
    orders = (await connection.execute(_SELECT_ORDERS, {"account": account_id})).fetchall()
    keys = {order.id: order.key for order in orders}
    acknowledged = {key: order_id for (id_, key), order_id in log.order_ids.items() if id_ == account_id}
    return {
        "orders": len(orders),
        "lost": sum(keys.get(order_id) != key for key, order_id in acknowledged.items()),
        "doubled_orders": len(orders) - len(set(keys.values())),
        "not_ended": sum(order.status not in {"closed", "rejected"} for order in orders),
        "repeated_moves": (await connection.execute(_COUNT_REPEATED_MOVES, {"account": account_id})).scalar_one(),
    }


async def _read_log(connection: AsyncConnection, account_id: str) -> tuple[list[int], int]:
    """Return a digest of each event, and 1 where numbers have a gap or the hash chain does not hold, else 0."""
    digests, digest, is_broken = list[int](), b"", False
    while rows := (await connection.execute(_SELECT_LOG, {"account": account_id, "after": len(digests)})).fetchall():
        for row in rows:
            body = row.body.encode()
            digest = chain_hash(digest, body)
            is_broken |= row.seq != len(digests) + 1 or row.hash != digest
            digests.append(hash(body))
    return digests, int(is_broken)


def _find_processes(command: SupervisedCommand) -> list[psutil.Process]:
    """Return the processes below the main one, at any depth."""
    with suppress(psutil.NoSuchProcess):
        return [child for child in psutil.Process(command.pid).children(recursive=True) if child.is_running()]
    return []


def _signal_child(get_command: Callable[[Stack], SupervisedCommand], signal_number: signal.Signals) -> RandomFault:
    async def inject(stack: Stack, rng: random.Random) -> None:
        if processes := _find_processes(get_command(stack)):
            with suppress(psutil.NoSuchProcess):
                rng.choice(processes).send_signal(signal_number)

    return inject


def _signal_main(get_command: Callable[[Stack], SupervisedCommand], signal_number: signal.Signals) -> RandomFault:
    async def inject(stack: Stack, _rng: random.Random) -> None:
        with suppress(ProcessLookupError):  # it is being restarted
            os.kill(get_command(stack).pid, signal_number)

    return inject


def _freeze_child(get_command: Callable[[Stack], SupervisedCommand]) -> RandomFault:
    async def inject(stack: Stack, rng: random.Random) -> None:
        if processes := _find_processes(get_command(stack)):
            process = rng.choice(processes)
            with suppress(psutil.NoSuchProcess):  # a supervisor may replace it
                process.suspend()
                await asyncio.sleep(rng.uniform(*_FREEZE_RANGE_S))
                process.resume()

    return inject


def _freeze_server(get_pid: Callable[[Stack], int]) -> RandomFault:
    async def inject(stack: Stack, rng: random.Random) -> None:
        with FrozenProcess(get_pid(stack)):
            await asyncio.sleep(rng.uniform(*_FREEZE_RANGE_S))

    return inject


async def _flush_valkey(stack: Stack, _rng: random.Random) -> None:
    client = redis_clients.connect_async(stack.settings.redis_url, timeout_s=5.0)
    await client.flushall()
    await client.aclose()


def _web(stack: Stack) -> SupervisedCommand:
    return stack.web


def _worker(stack: Stack) -> SupervisedCommand:
    return stack.worker


RANDOM_FAULTS: Final[Mapping[str, RandomFault]] = {
    "kill a web process": _signal_child(_web, signal.SIGKILL),
    "kill web": _signal_main(_web, signal.SIGKILL),
    "stop web": _signal_main(_web, signal.SIGTERM),
    "freeze a web process": _freeze_child(_web),
    "kill a worker process": _signal_child(_worker, signal.SIGKILL),
    "kill worker": _signal_main(_worker, signal.SIGKILL),
    "stop worker": _signal_main(_worker, signal.SIGTERM),
    "freeze a worker process": _freeze_child(_worker),
    "kill Valkey": lambda stack, rng: stack.restart_valkey(down_s=rng.uniform(0, 3)),
    "empty Valkey": lambda stack, _: stack.restart_valkey(empty=True),
    "flush Valkey": _flush_valkey,
    "freeze Valkey": _freeze_server(lambda stack: stack.valkey.pid),
    "kill PostgreSQL": lambda stack, _: stack.restart_postgres(),
    "stop PostgreSQL at once": lambda stack, rng: stack.restart_postgres(immediate=True, down_s=rng.uniform(0, 1)),
    "freeze PostgreSQL": _freeze_server(lambda stack: stack.postgres.pid),
}
