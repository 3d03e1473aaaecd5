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

from db import journal
from db.engine import create_engine
from signalhub.domain.events import Fact
from tests.faults.campaign import share
from tests.faults.flood import Crowd, Sight, audience
from tests.kit.stack import Stack
from tests.kit.subscribers import Habits, Subscriber
from tests.kit.trader import Trader

_EVENT_BYTES: Final = 2_000
_AT: Final = re.compile(rb'"at":"([^"]+)"')
_CUTS: Final = re.compile(r"^signalhub_stream_slow_closes_total\S* (\S+)", re.MULTILINE)


class Jam(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` without the stuck ones, `filling_s` until the system's buffers are full, and `seconds` with them."""

    subscribers: int
    stuck: int
    rate: float = 20.0
    seconds: float = 15.0
    filling_s: float = 5.0
    patience_s: float = 60.0
    log_bytes: int = 12_000_000


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """`growth_mb` is the server's largest growth while they were stuck, for each of them."""

    p99_alone_ms: float
    p99_ms: float
    growth_mb: float
    slow_closes: int
    sight: Sight


class Timed(Subscriber):
    """Notes how long after it was written each event arrived."""

    def __init__(self, *place: Any, **more: Any) -> None:  # noqa: ANN401 - the subscriber's own
        super().__init__(*place, **more)
        self.late: list[float] = []

    def take(self, body: bytes, seq: bytes) -> None:
        super().take(body, seq)
        self.late.append(time() - _written_at(body))


@lru_cache(maxsize=256)  # all subscribers are given the same
def _written_at(body: bytes) -> float:
    found = _AT.search(body)
    return datetime.fromisoformat(found[1].decode()).timestamp() if found else 0.0


async def run(stack: Stack, plan: Jam) -> Cost:
    async with audience(stack, 0, 1, Habits()) as crowd:
        (trader,) = crowd.traders
        head = await _write_long_log(stack, trader, plan.log_bytes)
        crowd.add(trader, plan.subscribers, Habits(), Timed, after=head)
        await asyncio.sleep(1.0)
        p99_alone_ms, before = await _phase(crowd, plan)
        crowd.add(trader, plan.stuck, Habits(is_reading=False))
        filled = await _most_memory(stack, plan.filling_s)
        p99_ms, after = await _phase(crowd, plan)
        slow_closes = await _slow_closes(stack)
        for one in crowd.subscribers:
            one.wake_up()
        await crowd.settle(plan.patience_s)
        sight = await crowd.sight()
    growth_mb = max(0, filled - before, after - before) / 1e6 / plan.stuck
    return Cost(p99_alone_ms=p99_alone_ms, p99_ms=p99_ms, growth_mb=growth_mb, slow_closes=slow_closes, sight=sight)


async def _write_long_log(stack: Stack, trader: Trader, size: int) -> int:
    """Events that nobody was told of; the answer is the last one's number."""
    fact = Fact(type="key.created", account_id=trader.id, data={"label": "x" * _EVENT_BYTES}, trace_id="0" * 32)
    engine = create_engine(stack.settings.database_url)
    for _ in range(size // _EVENT_BYTES // 500):
        async with engine.begin() as connection:
            events = await journal.write(connection, await journal.lock(connection, {trader.id}), [fact] * 500)
    await engine.dispose()
    return events[-1].seq


async def _phase(crowd: Crowd, plan: Jam) -> tuple[float, int]:
    """p99 of the timed ones' waits in milliseconds, and the most memory that the web process had."""
    timed = [one for one in crowd.subscribers if isinstance(one, Timed)]
    for one in timed:
        one.late.clear()
    watching = asyncio.create_task(_most_memory(crowd.stack, plan.seconds))
    await crowd.send(plan.rate, plan.seconds)
    most = await watching
    return share(sorted(late for one in timed for late in one.late), 0.99) * 1000, most


async def _most_memory(stack: Stack, seconds: float) -> int:
    most = 0
    for _ in range(int(seconds / 0.2)):
        most = max(most, *(psutil.Process(pid).memory_info().rss for pid in stack.web.children()))
        await asyncio.sleep(0.2)
    return most


async def _slow_closes(stack: Stack) -> int:
    async with httpx.AsyncClient(base_url=stack.url) as http:
        return int(sum(float(value) for value in _CUTS.findall((await http.get("/metrics")).text)))
