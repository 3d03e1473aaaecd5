"""Kill the web process, which cuts all streams at once, and measure the time until all subscribers have caught up.

They reconnect as browsers do, within `retry`. The relay's own metrics count the database reads that this costs.
"""

import asyncio
import re
from time import monotonic

import httpx
import msgspec

from tests.faults.flood import DeliveryReport, SubscriberGroup, run_subscribers
from tests.kit import database_snapshot
from tests.kit.load_subscribers import SubscriberBehavior
from tests.kit.polling import wait_until
from tests.kit.stack import Stack

_DATABASE_READ_METRICS = re.compile(r"^signalhub_stream_(?:ring_misses|heals)_total (\S+)", re.MULTILINE)
_ACCOUNT_COUNT = 4
_EVENTS_PER_SECOND = 5.0


class ReconnectPlan(msgspec.Struct, frozen=True, kw_only=True):
    subscriber_count: int
    duration_s: float = 20.0


class ReconnectReport(msgspec.Struct, frozen=True, kw_only=True):
    """`database_reads_per_second` is for one account, over the seconds until all had caught up."""

    catch_up_s: float
    database_reads: int
    database_reads_per_second: float
    delivery: DeliveryReport


async def run(stack: Stack, plan: ReconnectPlan) -> ReconnectReport:
    async with run_subscribers(stack, plan.subscriber_count, _ACCOUNT_COUNT, SubscriberBehavior()) as group:
        sending = asyncio.create_task(group.send_signals(_EVENTS_PER_SECOND, plan.duration_s))
        await asyncio.sleep(plan.duration_s / 4)
        reads_before = await _count_database_reads(stack)
        await asyncio.to_thread(stack.web.kill_child)
        began = monotonic()
        sessions_before = [subscriber.sessions for subscriber in group.subscribers]
        await wait_until(lambda: _have_caught_up(group, sessions_before), timeout_s=60, interval_s=0.1)
        catch_up_s = monotonic() - began
        reads = await _count_database_reads(stack) - reads_before
        await sending
        await group.wait_until_caught_up(60)
        delivery = await group.build_report()
    return ReconnectReport(
        catch_up_s=catch_up_s,
        database_reads=reads,
        database_reads_per_second=reads / _ACCOUNT_COUNT / max(catch_up_s, 1.0),
        delivery=delivery,
    )


async def _have_caught_up(group: SubscriberGroup, sessions_before: list[int]) -> bool:
    """Return whether all subscribers have a new session and have reached the head read by this call."""
    sessions = zip(group.subscribers, sessions_before, strict=True)
    if any(subscriber.sessions == before or not subscriber.is_open for subscriber, before in sessions):
        return False
    heads = await database_snapshot.read_heads(group.stack.settings)
    await asyncio.sleep(0.05)
    return all(subscriber.seq >= heads[subscriber.account_id] for subscriber in group.subscribers)


async def _count_database_reads(stack: Stack) -> int:
    """Return the reads of all web processes so far: counters go on when a process is replaced."""
    async with httpx.AsyncClient(base_url=stack.base_url) as http:
        text = (await http.get("/metrics")).text
    return int(sum(float(value) for value in _DATABASE_READ_METRICS.findall(text)))
