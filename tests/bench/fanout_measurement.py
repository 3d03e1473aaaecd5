"""Send events to all subscribers for a while and measure the cost and the delay."""

import asyncio
import time
from typing import Final

import msgspec

from tests.bench.fanout_servers import FanoutServer
from tests.bench.fanout_subscribers import SubscriberPool

MAX_P99_MS: Final = 150.0
_RATES: Final = (5, 10, 20, 30, 40, 50, 100, 150, 200, 250, 300, 400, 500, 600, 800, 1000)
_MIN_TICK_S: Final = 0.01


class WindowResult(msgspec.Struct, frozen=True):
    """`delivered_fraction` of the deliveries arrived during the window or within 5 s after it."""

    sent: int
    cpu_us: float
    p50_ms: float
    p99_ms: float
    delivered_fraction: float


async def measure_window(
    server: FanoutServer, transport: str, subscribers: SubscriberPool, *, rate: float, duration_s: float
) -> WindowResult:
    """Send `rate` events a second to all subscribers of a transport."""
    subscribers.take_stats()
    cpu_s = server.measure_cpu_s()
    sent = await _send_at_rate(server, transport, rate, duration_s)
    expected = sent * subscribers.size
    await wait_for_deliveries(subscribers, expected)
    spent_s, stats = server.measure_cpu_s() - cpu_s, subscribers.take_stats()
    return WindowResult(
        sent=sent,
        cpu_us=spent_s / max(stats.count, 1) * 1e6,
        p50_ms=stats.percentile(0.5),
        p99_ms=stats.percentile(0.99),
        delivered_fraction=stats.count / expected,
    )


async def find_highest_rate(server: FanoutServer, subscriber_count: int, duration_s: float) -> int:
    """Return the highest rate that is held: nothing missing, the p99 within its limit. Each rate has two attempts."""
    highest_rate = 0
    with SubscriberPool(
        server.port, server.requests_by_transport["sse"], subscriber_count, server.ready_marker
    ) as subscribers:
        for rate in _RATES:
            for _ in range(2):
                window = await measure_window(server, "sse", subscribers, rate=rate, duration_s=duration_s)
                is_sent = window.sent >= 0.95 * rate * duration_s
                is_held = is_sent and window.delivered_fraction >= 1 and window.p99_ms <= MAX_P99_MS
                if is_held:
                    break
            if not is_held:
                break
            highest_rate = rate
    return highest_rate


async def wait_for_deliveries(subscribers: SubscriberPool, expected: int, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while subscribers.read_count() < expected and time.monotonic() < deadline:  # noqa: ASYNC110 - the count is in another process
        await asyncio.sleep(0.02)


async def _send_at_rate(server: FanoutServer, transport: str, rate: float, duration_s: float) -> int:
    """Send at an even rate; after a delay, send what is overdue at once."""
    sent, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < duration_s:
        overdue = int(passed * rate) + 1 - sent
        if overdue > 0:
            await server.send_events(transport, overdue)
            sent += overdue
        await asyncio.sleep(max(_MIN_TICK_S, 1 / rate) / 2)
    return sent
