"""From the POST of a signal to `order.executed` on an open SSE stream.

Profile `instant`, an idle system, and each time the first signal after a quiet while: whatever sleeps between two
polls would show here.
"""

import asyncio
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from signalhub.settings import Settings
from tests.bench.ingest import TEXT
from tests.bench.table import Table
from tests.kit.stack import Stack

TARGET_P50_MS, TARGET_P99_MS = 25.0, 60.0


def main(signals: int = 200, quiet_s: float = 10.0) -> bool:
    """Print the table; the answer says whether both targets are met."""
    with TemporaryDirectory() as home:
        hub = Stack(Path(home), Settings(broker_profile="instant"))
        try:
            hub.start()
            taken = sorted(asyncio.run(_measure(hub, signals, quiet_s)))
        finally:
            hub.stop()
    p50, p99 = median(taken), taken[min(int(len(taken) * 0.99), len(taken) - 1)]
    table = Table("signals", "quiet s", "p50 ms", "p90 ms", "p99 ms", "max ms")
    p90 = taken[int(len(taken) * 0.9)]
    table.add(str(signals), f"{quiet_s:g}", f"{p50:.1f}", f"{p90:.1f}", f"{p99:.1f}", f"{taken[-1]:.1f}")
    table.show()
    sys.stdout.write(f"targets: p50 {TARGET_P50_MS} ms, p99 {TARGET_P99_MS} ms\n")
    return p50 <= TARGET_P50_MS and p99 <= TARGET_P99_MS


async def _measure(hub: Stack, signals: int, quiet_s: float) -> list[float]:
    await hub.ready()
    async with httpx.AsyncClient(base_url=hub.url, timeout=30) as http:
        wish = {"username": "bench", "broker_name": "mock", "account_id": "1", "api_key": "none"}
        headers = {"x-api-key": (await http.post("/accounts/", json=wish)).json()["api_key"]}
        seen: asyncio.Queue[float] = asyncio.Queue()
        follower = asyncio.create_task(_follow(http, headers, seen))
        await asyncio.sleep(1)
        taken = [await _once(http, headers, seen, quiet_s) for _ in range(signals)]
        follower.cancel()
    return taken


async def _once(
    http: httpx.AsyncClient, headers: dict[str, str], seen: "asyncio.Queue[float]", quiet_s: float
) -> float:
    await asyncio.sleep(quiet_s)
    began = time.perf_counter()
    answer = asyncio.create_task(http.post("/api/v1/signals", content=TEXT, headers=headers))
    async with asyncio.timeout(10):
        ended = await seen.get()
    (await answer).raise_for_status()
    return (ended - began) * 1000


async def _follow(http: httpx.AsyncClient, headers: dict[str, str], seen: "asyncio.Queue[float]") -> None:
    async with http.stream("GET", "/api/v1/stream?types=order.executed", headers=headers, timeout=None) as stream:
        async for line in stream.aiter_lines():
            if line == "event: order.executed":
                seen.put_nowait(time.perf_counter())
