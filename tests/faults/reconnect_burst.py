"""All streams are cut at once, because the web process was killed: how long until everybody is where the log is.

They come back as browsers do, within `retry`; what they ask of the database meanwhile is counted by the relay itself.
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
    """`reads_a_second` are the database reads of one account, over the seconds until all had caught up."""

    catch_up_s: float
    database_reads: int
    database_reads_per_second: float
    delivery: DeliveryReport


async def run(stack: Stack, plan: ReconnectPlan) -> ReconnectReport:
    async with run_subscribers(stack, plan.subscriber_count, _ACCOUNT_COUNT, SubscriberBehavior()) as crowd:
        sending = asyncio.create_task(crowd.send_signals(_EVENTS_PER_SECOND, plan.duration_s))
        await asyncio.sleep(plan.duration_s / 4)
        await asyncio.to_thread(stack.web.kill_child)
        began = monotonic()
        before = [one.sessions for one in crowd.subscribers]
        await wait_until(lambda: _have_caught_up(crowd, before), timeout_s=60, interval_s=0.1)
        caught_up_s = monotonic() - began
        reads = await _count_database_reads(stack)
        await sending
        await crowd.wait_until_caught_up(60)
        sight = await crowd.build_report()
    return ReconnectReport(
        catch_up_s=caught_up_s,
        database_reads=reads,
        database_reads_per_second=reads / _ACCOUNT_COUNT / max(caught_up_s, 1.0),
        delivery=sight,
    )


async def _have_caught_up(group: SubscriberGroup, sessions_before: list[int]) -> bool:
    """Whether everybody has a new session, and what was the log's end when this was asked."""
    if any(one.sessions == old or not one.is_open for one, old in zip(group.subscribers, sessions_before, strict=True)):
        return False
    heads = await database_snapshot.read_heads(group.stack.settings)
    await asyncio.sleep(0.05)
    return all(one.seq >= heads[one.account_id] for one in group.subscribers)


async def _count_database_reads(stack: Stack) -> int:
    """Of the process that came up after the kill: its counters began at 0."""
    async with httpx.AsyncClient(base_url=stack.base_url) as http:
        text = (await http.get("/metrics")).text
    return int(sum(float(value) for value in _DATABASE_READ_METRICS.findall(text)))
