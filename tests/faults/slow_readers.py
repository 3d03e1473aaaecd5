"""Let some subscribers stop reading and measure the delay for the others and the memory of the server.

The stalled ones start at the beginning of a long log, so they are many megabytes behind at once. The server must not
hold what does not fit into the system's socket buffers.
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
    """`phase_s` without the stalled readers, `buffer_fill_s` until the socket buffers are full, `phase_s` with them."""

    subscriber_count: int
    stalled_count: int
    events_per_second: float = 20.0
    phase_s: float = 15.0
    buffer_fill_s: float = 5.0
    timeout_s: float = 60.0
    log_bytes: int = 12_000_000


class SlowReaderReport(msgspec.Struct, frozen=True, kw_only=True):
    """`memory_growth_mb` is the server's largest growth for each stalled reader."""

    baseline_p99_ms: float
    p99_ms: float
    memory_growth_mb: float
    slow_closes: int
    delivery: DeliveryReport


class LatencySubscriber(Subscriber):
    """Records for each event the time from its commit to its arrival."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the subscriber's own
        super().__init__(*args, **kwargs)
        self.latencies_s: list[float] = []

    def record_event(self, body: bytes, seq: bytes) -> None:
        super().record_event(body, seq)
        self.latencies_s.append(time() - _parse_event_time(body))


@lru_cache(maxsize=256)  # all subscribers receive the same bodies
def _parse_event_time(body: bytes) -> float:
    match = _EVENT_TIME_PATTERN.search(body)
    return datetime.fromisoformat(match[1].decode()).timestamp() if match else 0.0


async def run(stack: Stack, plan: SlowReaderPlan) -> SlowReaderReport:
    async with run_subscribers(stack, 0, 1, SubscriberBehavior()) as group:
        (account,) = group.accounts
        head = await _write_long_log(stack, account, plan.log_bytes)
        group.add_subscribers(account, plan.subscriber_count, SubscriberBehavior(), LatencySubscriber, after=head)
        await asyncio.sleep(1.0)
        baseline_p99_ms, baseline_bytes = await _measure_phase(group, plan)
        group.add_subscribers(account, plan.stalled_count, SubscriberBehavior(is_reading=False))
        filled_bytes = await _measure_peak_rss_bytes(stack, plan.buffer_fill_s)
        p99_ms, stalled_bytes = await _measure_phase(group, plan)
        slow_closes = await _count_slow_closes(stack)
        for subscriber in group.subscribers:
            subscriber.resume_reading()
        await group.wait_until_caught_up(plan.timeout_s)
        delivery = await group.build_report()
    memory_growth_mb = max(0, filled_bytes - baseline_bytes, stalled_bytes - baseline_bytes) / 1e6 / plan.stalled_count
    return SlowReaderReport(
        baseline_p99_ms=baseline_p99_ms,
        p99_ms=p99_ms,
        memory_growth_mb=memory_growth_mb,
        slow_closes=slow_closes,
        delivery=delivery,
    )


async def _write_long_log(stack: Stack, account: AccountClient, total_bytes: int) -> int:
    """Append events without publishing them; return the number of the last."""
    new_event = NewEvent(
        type="key.created", account_id=account.id, data={"label": "x" * _EVENT_BYTES}, trace_id="0" * 32
    )
    engine = create_engine(stack.settings.database_url)
    for _ in range(total_bytes // _EVENT_BYTES // 500):
        async with engine.begin() as connection:
            events = await event_log.append_events(
                connection, await event_log.lock_heads(connection, {account.id}), [new_event] * 500
            )
    await engine.dispose()
    return events[-1].seq


async def _measure_phase(group: SubscriberGroup, plan: SlowReaderPlan) -> tuple[float, int]:
    """Return the p99 of the delays in milliseconds and the highest memory of a web process in bytes."""
    timed = [subscriber for subscriber in group.subscribers if isinstance(subscriber, LatencySubscriber)]
    for subscriber in timed:
        subscriber.latencies_s.clear()
    memory = asyncio.create_task(_measure_peak_rss_bytes(group.stack, plan.phase_s))
    await group.send_signals(plan.events_per_second, plan.phase_s)
    peak_bytes = await memory
    latencies_s = sorted(latency_s for subscriber in timed for latency_s in subscriber.latencies_s)
    return percentile(latencies_s, 0.99) * 1000, peak_bytes


async def _measure_peak_rss_bytes(stack: Stack, duration_s: float) -> int:
    peak_bytes = 0
    for _ in range(int(duration_s / 0.2)):
        peak_bytes = max(peak_bytes, *(psutil.Process(pid).memory_info().rss for pid in stack.web.child_pids()))
        await asyncio.sleep(0.2)
    return peak_bytes


async def _count_slow_closes(stack: Stack) -> int:
    async with httpx.AsyncClient(base_url=stack.base_url) as http:
        return int(sum(float(value) for value in _SLOW_CLOSES_METRIC.findall((await http.get("/metrics")).text)))
