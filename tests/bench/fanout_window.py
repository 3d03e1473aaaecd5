"""One window of sending to a full room, and what it took."""

import asyncio
import time
from typing import Final

import msgspec

from tests.bench.fanout_audience import Audience
from tests.bench.fanout_sides import Side

HELD_P99_MS: Final = 150.0
_LADDER: Final = (5, 10, 20, 30, 40, 50, 100, 150, 200, 250, 300, 400, 500, 600, 800, 1000)
_TICK_S: Final = 0.01


class Figures(msgspec.Struct, frozen=True):
    """`share` of what was to be delivered has been, a moment after the end of the window at the latest."""

    sent: int
    cpu_us: float
    p50_ms: float
    p99_ms: float
    share: float


async def window(side: Side, room: str, audience: Audience, *, rate: float, seconds: float) -> Figures:
    """Send `rate` events a second to everybody in the room."""
    audience.heard()
    cpu_s = side.cpu_s()
    sent = await _send(side, room, rate, seconds)
    expected = sent * audience.size
    await settle(audience, expected)
    spent_s, heard = side.cpu_s() - cpu_s, audience.heard()
    return Figures(
        sent=sent,
        cpu_us=spent_s / max(heard.count, 1) * 1e6,
        p50_ms=heard.percentile(0.5),
        p99_ms=heard.percentile(0.99),
        share=heard.count / expected,
    )


async def highest_rate(side: Side, size: int, seconds: float) -> int:
    """Events a second that are held: sent, nothing missing, 99 of 100 deliveries in time. A second try is given."""
    held = 0
    with Audience(side.port, side.requests["sse"], size, side.greeting) as audience:
        for rate in _LADDER:
            for _ in range(2):
                figures = await window(side, "sse", audience, rate=rate, seconds=seconds)
                is_sent = figures.sent >= 0.95 * rate * seconds
                is_held = is_sent and figures.share >= 1 and figures.p99_ms <= HELD_P99_MS
                if is_held:
                    break
            if not is_held:
                break
            held = rate
    return held


async def settle(audience: Audience, expected: int, most_s: float = 5.0) -> None:
    deadline = time.monotonic() + most_s
    while audience.count() < expected and time.monotonic() < deadline:  # noqa: ASYNC110 - it is in another process
        await asyncio.sleep(0.02)


async def _send(side: Side, room: str, rate: float, seconds: float) -> int:
    """At an even pace; what is owed after a delay is sent at once."""
    sent, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        owed = int(passed * rate) + 1 - sent
        if owed > 0:
            await side.send(room, owed)
            sent += owed
        await asyncio.sleep(max(_TICK_S, 1 / rate) / 2)
    return sent
