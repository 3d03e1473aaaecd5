"""Some of a crowd stop reading: what it costs the others in time, and the server in memory.

They begin at the start of a long log, so that they are many megabytes behind at once: what the system's buffers do not
take of it, the server must not hold.
"""

import asyncio
import re
from datetime import datetime
from functools import lru_cache
from time import time
from typing import Any, Final

import httpx
import msgspec
import psutil  # type: ignore[import-untyped]  # it ships none

from db import event_log
from db.engine import create_engine
from signalhub.domain.events import NewEvent
from tests.faults.chaos_runs import percentile
from tests.faults.flood import DeliveryReport, SubscriberGroup, run_subscribers
from tests.kit.account_client import AccountClient
from tests.kit.load_subscribers import Subscriber, SubscriberBehavior
from tests.kit.stack import Stack

_EVENT_BYTES: Final = 2_000
_EVENT_TIME_PATTERN: Final = re.compile(rb'"at":"([^"]+)"')
_SLOW_CLOSES_METRIC: Final = re.compile(r"^signalhub_stream_slow_closes_total\S* (\S+)", re.MULTILINE)


class SlowReaderPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` without the stuck ones, `filling_s` until the system's buffers are full, and `seconds` with them."""

    subscriber_count: int
    stalled_count: int
    events_per_second: float = 20.0
    phase_s: float = 15.0
    buffer_fill_s: float = 5.0
    timeout_s: float = 60.0
    log_bytes: int = 12_000_000


class SlowReaderReport(msgspec.Struct, frozen=True, kw_only=True):
    """`growth_mb` is the server's largest growth while they were stuck, for each of them."""

    baseline_p99_ms: float
    p99_ms: float
    memory_growth_mb: float
    slow_closes: int
    delivery: DeliveryReport


class LatencySubscriber(Subscriber):
    """Notes how long after it was written each event arrived."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the subscriber's own
        super().__init__(*args, **kwargs)
        self.latencies_s: list[float] = []

    def record_event(self, body: bytes, seq: bytes) -> None:
        super().record_event(body, seq)
        self.latencies_s.append(time() - _parse_event_time(body))


@lru_cache(maxsize=256)  # all subscribers are given the same
def _parse_event_time(body: bytes) -> float:
    found = _EVENT_TIME_PATTERN.search(body)
    return datetime.fromisoformat(found[1].decode()).timestamp() if found else 0.0


async def run(stack: Stack, plan: SlowReaderPlan) -> SlowReaderReport:
    async with run_subscribers(stack, 0, 1, SubscriberBehavior()) as crowd:
        (account,) = crowd.accounts
        head = await _write_long_log(stack, account, plan.log_bytes)
        crowd.add_subscribers(account, plan.subscriber_count, SubscriberBehavior(), LatencySubscriber, after=head)
        await asyncio.sleep(1.0)
        p99_alone_ms, before = await _measure_phase(crowd, plan)
        crowd.add_subscribers(account, plan.stalled_count, SubscriberBehavior(is_reading=False))
        filled = await _measure_peak_rss_bytes(stack, plan.buffer_fill_s)
        p99_ms, after = await _measure_phase(crowd, plan)
        slow_closes = await _count_slow_closes(stack)
        for one in crowd.subscribers:
            one.resume_reading()
        await crowd.wait_until_caught_up(plan.timeout_s)
        sight = await crowd.build_report()
    growth_mb = max(0, filled - before, after - before) / 1e6 / plan.stalled_count
    return SlowReaderReport(
        baseline_p99_ms=p99_alone_ms, p99_ms=p99_ms, memory_growth_mb=growth_mb, slow_closes=slow_closes, delivery=sight
    )


async def _write_long_log(stack: Stack, account: AccountClient, total_bytes: int) -> int:
    """Events that nobody was told of; the answer is the last one's number."""
    fact = NewEvent(type="key.created", account_id=account.id, data={"label": "x" * _EVENT_BYTES}, trace_id="0" * 32)
    engine = create_engine(stack.settings.database_url)
    for _ in range(total_bytes // _EVENT_BYTES // 500):
        async with engine.begin() as connection:
            events = await event_log.append_events(
                connection, await event_log.lock_heads(connection, {account.id}), [fact] * 500
            )
    await engine.dispose()
    return events[-1].seq


async def _measure_phase(group: SubscriberGroup, plan: SlowReaderPlan) -> tuple[float, int]:
    """p99 of the timed ones' waits in milliseconds, and the most memory that the web process had."""
    timed = [one for one in group.subscribers if isinstance(one, LatencySubscriber)]
    for one in timed:
        one.latencies_s.clear()
    watching = asyncio.create_task(_measure_peak_rss_bytes(group.stack, plan.phase_s))
    await group.send_signals(plan.events_per_second, plan.phase_s)
    most = await watching
    return percentile(sorted(late for one in timed for late in one.latencies_s), 0.99) * 1000, most


async def _measure_peak_rss_bytes(stack: Stack, duration_s: float) -> int:
    most = 0
    for _ in range(int(duration_s / 0.2)):
        most = max(most, *(psutil.Process(pid).memory_info().rss for pid in stack.web.child_pids()))
        await asyncio.sleep(0.2)
    return most


async def _count_slow_closes(stack: Stack) -> int:
    async with httpx.AsyncClient(base_url=stack.base_url) as http:
        return int(sum(float(value) for value in _SLOW_CLOSES_METRIC.findall((await http.get("/metrics")).text)))
