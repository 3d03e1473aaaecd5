"""`run.py overload`: more signals than the service can store, and more connections than it can serve.

One account sends more than its share, another one little. Accepted must be at least 0.8 of what 64 connections get, and
every answer must come within two seconds.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from tests.faults.chaos_runs import run_clients
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.open_loop import OpenLoopResult, Source, build_post, run_closed_loop, run_open_loop
from tests.kit.stack import Stack

CAPACITY_CONNECTIONS: Final = 64
LIGHT_SENDER_SHARE: Final = 0.02
MAX_ANSWER_S: Final = 2.0
MIN_ACCEPTED_RATIO: Final = 0.8
MIN_LIGHT_RATIO: Final = 0.95


class OverloadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Each multiple of the capacity, and each number of connections, is offered for `duration_s`."""

    duration_s: float = 8.0
    multiples: tuple[float, ...] = (1.0, 1.5, 3.0)
    connections: tuple[int, ...] = (64, 6_000, 10_000)
    warm_up_s: float = 2.0


class OverloadPhase(msgspec.Struct, frozen=True, kw_only=True):
    """Rates are a second, latencies those of all answers. `light` is how much of the other sender was accepted."""

    name: str
    offered: float
    accepted: float
    refused: float
    p50_s: float
    p99_s: float
    max_s: float
    without_answer: int
    light: float | None
    capacity: float

    @property
    def is_within_targets(self) -> bool:
        return (
            self.without_answer == 0
            and self.max_s <= MAX_ANSWER_S
            and self.accepted >= MIN_ACCEPTED_RATIO * min(self.capacity, self.offered)
            and (self.light is None or self.light >= MIN_LIGHT_RATIO)
        )


async def run(stack: Stack, plan: OverloadPlan) -> list[OverloadPhase]:
    """Measure the capacity with 64 connections, then overload the service in each of the planned ways."""
    async with run_clients(stack, account_count=2) as clients:
        address = "127.0.0.1", stack.settings.web.port
        heavy, light = (_build_request(account) for account in clients.accounts)
        await run_closed_loop(address, heavy, duration_s=plan.warm_up_s, connections=CAPACITY_CONNECTIONS)
        measured = await run_closed_loop(address, heavy, duration_s=plan.duration_s, connections=CAPACITY_CONNECTIONS)
        capacity = measured.count(2) / plan.duration_s
        phases = []
        for multiple in plan.multiples:
            sources = [
                Source("heavy", heavy, multiple * capacity),
                Source("light", light, LIGHT_SENDER_SHARE * capacity),
            ]
            result = await run_open_loop(address, sources, duration_s=plan.duration_s)
            phases.append(_to_phase(f"open loop, {multiple:g} times", result, capacity))
        for count in plan.connections:
            result = await run_closed_loop(address, heavy, duration_s=plan.duration_s, connections=count)
            phases.append(_to_phase(f"{count:,} connections", result, capacity))
        return phases


def _build_request(account: AccountClient) -> bytes:
    host = str(account.http.base_url.netloc, "ascii")
    return build_post("/api/v1/signals", host, signal_texts.BUY.encode(), account.headers)


def _to_phase(name: str, result: OpenLoopResult, capacity: float) -> OverloadPhase:
    light_answers = [answer for answer in result.answers if answer.source == "light"]
    return OverloadPhase(
        name=name,
        offered=result.offered / result.duration_s,
        accepted=result.count(2) / result.duration_s,
        refused=result.count(5) / result.duration_s,
        p50_s=result.percentile_s(0.5),
        p99_s=result.percentile_s(0.99),
        max_s=result.percentile_s(1.0),
        without_answer=result.lost + result.unanswered,
        light=result.count(2, "light") / len(light_answers) if light_answers else None,
        capacity=capacity,
    )


HEADINGS: Final = (
    "load",
    "offered/s",
    "accepted/s",
    "of capacity",
    "503/s",
    "p50 s",
    "p99 s",
    "max s",
    "lost",
    "light",
)


def to_rows(phases: Sequence[OverloadPhase]) -> list[tuple[str, ...]]:
    """Return the cells of a table with HEADINGS."""
    return [
        (
            phase.name,
            f"{phase.offered:,.0f}",
            f"{phase.accepted:,.0f}",
            f"{phase.accepted / phase.capacity:.2f}",
            f"{phase.refused:,.0f}",
            *(f"{seconds:.2f}" for seconds in (phase.p50_s, phase.p99_s, phase.max_s)),
            str(phase.without_answer),
            "-" if phase.light is None else f"{phase.light:.0%}",
        )
        for phase in phases
    ]
