"""A steady load, and how the memory of each process develops: `just soak`.

Signals (one in ten is refused), streams that reconnect, scrapes and readiness checks, as in normal operation.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from statistics import linear_regression
from time import monotonic
from typing import Final

import httpx
import msgspec
import psutil  # type: ignore[import-untyped]  # it ships none

from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.load_subscribers import Subscriber, SubscriberBehavior
from tests.kit.stack import Stack
from tests.kit.supervised_command import SupervisedCommand

_REFUSED_EVERY: Final = 10
_SCRAPE_INTERVAL_S: Final = 5.0
_SUBSCRIBER_COUNT: Final = 20
_MB: Final = 1_000_000


class SoakPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of the first `warm_up_s` is not looked at."""

    duration_s: float
    warm_up_s: float
    signals_per_second: float
    sample_interval_s: float = 5.0


class MemoryTrend(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory of a process after the warm-up: first and last sample, and the slope of a line through all."""

    process: str
    first_mb: float
    last_mb: float
    slope_mb_per_h: float


class SoakReport(msgspec.Struct, frozen=True, kw_only=True):
    signals: int
    unanswered: int
    trends: Sequence[MemoryTrend]


async def run(stack: Stack, plan: SoakPlan) -> SoakReport:
    await stack.wait_until_ready()
    samples = dict[str, list[tuple[float, float]]]()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=stack.base_url, limits=limits, timeout=10) as http:
        account = await AccountClient.register(http)
        behavior = SubscriberBehavior(mean_cut_interval_s=30.0)
        address = "127.0.0.1", stack.settings.web.port
        subscribers = [Subscriber(address, account.id, account.api_key, behavior) for _ in range(_SUBSCRIBER_COUNT)]
        for subscriber in subscribers:
            subscriber.start()
        background = [
            asyncio.create_task(_scrape_forever(http)),
            asyncio.create_task(_sample_forever(stack, plan, samples)),
        ]
        try:
            sent, unanswered = await _send_signals(account, plan)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(
                *background, *(subscriber.stop() for subscriber in subscribers), return_exceptions=True
            )
    return SoakReport(signals=sent, unanswered=unanswered, trends=list(map(_to_trend, sorted(samples.items()))))


async def _send_signals(account: AccountClient, plan: SoakPlan) -> tuple[int, int]:
    """Send at an even rate, one after the other. Returns how many were sent, and how many had no answer."""
    started_at, unanswered = monotonic(), 0
    for number in count():
        if (late_s := monotonic() - started_at) >= plan.duration_s:
            return number, unanswered
        await asyncio.sleep(max(0.0, number / plan.signals_per_second - late_s))
        text = "BUY nothing" if number % _REFUSED_EVERY == 0 else signal_texts.make_buy_text(number % 10_000)
        try:
            response = await account.request("POST", "/api/v1/signals", content=text)
            unanswered += response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
        except httpx.TransportError:
            unanswered += 1
    raise AssertionError("unreachable")


async def _scrape_forever(http: httpx.AsyncClient) -> None:
    while True:
        with suppress(httpx.TransportError):
            await http.get("/metrics")
            await http.get("/health/ready")
        await asyncio.sleep(_SCRAPE_INTERVAL_S)


async def _sample_forever(stack: Stack, plan: SoakPlan, samples: dict[str, list[tuple[float, float]]]) -> None:
    await asyncio.sleep(plan.warm_up_s)
    while True:
        now = monotonic()
        for name, rss_mb in measure_memory_mb(stack).items():
            samples.setdefault(name, []).append((now, rss_mb))
        await asyncio.sleep(plan.sample_interval_s)


def measure_memory_mb(stack: Stack) -> Mapping[str, float]:
    """Return the resident memory of each process of web and worker, by command and pid."""
    memory = dict[str, float]()
    for name, command in (("web", stack.web), ("worker", stack.worker)):
        for process in _list_processes(command):
            with suppress(psutil.NoSuchProcess):
                memory[f"{name} {process.pid}"] = process.memory_info().rss / _MB
    return memory


def _list_processes(command: SupervisedCommand) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        main = psutil.Process(command.pid)
        return [main, *main.children(recursive=True)]
    return []


def _to_trend(samples: tuple[str, Sequence[tuple[float, float]]]) -> MemoryTrend:
    process, points = samples
    times, values = zip(*points, strict=True)
    slope = linear_regression(times, values).slope if len(points) > 1 else 0.0
    return MemoryTrend(process=process, first_mb=values[0], last_mb=values[-1], slope_mb_per_h=round(slope * 3600, 2))
