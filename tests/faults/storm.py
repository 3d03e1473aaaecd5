"""All streams are cut at once, because the web process was killed: how long until everybody is where the log is.

They come back as browsers do, within `retry`; what they ask of the database meanwhile is counted by the relay itself.
"""

import asyncio
import re
from time import monotonic

import httpx
import msgspec

from tests.faults.flood import Crowd, Sight, audience
from tests.kit import ledger
from tests.kit.stack import Stack
from tests.kit.subscribers import Habits
from tests.kit.waiting import until

_READS = re.compile(r"^signalhub_stream_(?:ring_misses|heals)_total (\S+)", re.MULTILINE)
_ACCOUNTS = 4
_RATE = 5.0


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    subscribers: int
    seconds: float = 20.0


class Calm(msgspec.Struct, frozen=True, kw_only=True):
    """`reads_a_second` are the database reads of one account, over the seconds until all had caught up."""

    caught_up_s: float
    reads: int
    reads_a_second: float
    sight: Sight


async def run(stack: Stack, plan: Storm) -> Calm:
    async with audience(stack, plan.subscribers, _ACCOUNTS, Habits()) as crowd:
        sending = asyncio.create_task(crowd.send(_RATE, plan.seconds))
        await asyncio.sleep(plan.seconds / 4)
        await asyncio.to_thread(stack.web.kill_child)
        began = monotonic()
        before = [one.sessions for one in crowd.subscribers]
        await until(lambda: _have_caught_up(crowd, before), timeout_s=60, every_s=0.1)
        caught_up_s = monotonic() - began
        reads = await _reads(stack)
        await sending
        await crowd.settle(60)
        sight = await crowd.sight()
    return Calm(
        caught_up_s=caught_up_s, reads=reads, reads_a_second=reads / _ACCOUNTS / max(caught_up_s, 1.0), sight=sight
    )


async def _have_caught_up(crowd: Crowd, before: list[int]) -> bool:
    """Whether everybody has a new session, and what was the log's end when this was asked."""
    if any(one.sessions == old or not one.is_open for one, old in zip(crowd.subscribers, before, strict=True)):
        return False
    heads = await ledger.heads(crowd.stack.settings)
    await asyncio.sleep(0.05)
    return all(one.seq >= heads[one.account_id] for one in crowd.subscribers)


async def _reads(stack: Stack) -> int:
    """Of the process that came up after the kill: its counters began at 0."""
    async with httpx.AsyncClient(base_url=stack.url) as http:
        text = (await http.get("/metrics")).text
    return int(sum(float(value) for value in _READS.findall(text)))
