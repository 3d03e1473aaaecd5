"""The cost of delivering one event to a thousand subscribers, beside Litestar's channels plugin and nginx with Nchan.

One run, one client, the same bytes; rounds alternate, so that a drift of the machine's speed affects all servers, and
figures are medians. Events are written from outside, so the cost of ingest is not included. Counted is the processor
time of the serving processes, without Valkey and PostgreSQL.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from operator import ge, le
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from tests.bench.fanout_account_scaling import measure_cost_us
from tests.bench.fanout_measurement import WindowResult, find_highest_rate, measure_window, wait_for_deliveries
from tests.bench.fanout_servers import FanoutServer, run_channels_plugin, run_nchan, run_signalhub
from tests.bench.fanout_subscribers import SubscriberPool
from tests.bench.table import Table
from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack

SIGNALHUB, CHANNELS_PLUGIN, NCHAN = "signalhub", "channels plugin", "Nchan"
_PARTS: Final = ("cost", "flood", "rate", "idle", "accounts")

Results = dict[tuple[str, str], list[WindowResult]]


def main(rounds: int = 5, seconds: float = 2.0, size: int = 1000, *, is_brief: bool = False) -> bool:
    """Print the tables; return whether every target is met that concerns an installed server."""
    return uvloop.run(measure(rounds, seconds, size, _PARTS[:1] if is_brief else _PARTS))


async def measure(rounds: int, seconds: float, size: int, parts: tuple[str, ...]) -> bool:
    met = []
    async with _run_servers() as (stack, fanout_servers):
        if "idle" in parts:  # first, while the process is fresh
            met.append(await _measure_idle_streams(fanout_servers[0], size))
        if "cost" in parts:
            met.append(_report_cost(await _measure_rounds(fanout_servers, rounds, size, rate=50, seconds=seconds)))
        if "flood" in parts:
            met.append(
                _report_flood(await _measure_rounds(fanout_servers[:2], 1, size, rate=100_000 / size, seconds=seconds))
            )
        if "rate" in parts:
            met.append(
                _report_rates({side.name: await find_highest_rate(side, size, seconds) for side in fanout_servers})
            )
        if "accounts" in parts:
            met.append(await _measure_account_scaling(stack, size))
    return all(met)


@asynccontextmanager
async def _run_servers() -> AsyncIterator[tuple[Stack, list[FanoutServer]]]:
    with TemporaryDirectory() as directory:
        async with AsyncExitStack() as running:
            stack = Stack(Path(directory), make_settings(max_streams_per_account=20_000))
            running.callback(stack.stop)
            stack.start()
            await stack.wait_until_ready()
            fanout_servers = [
                await running.enter_async_context(run_signalhub(stack.settings, stack.web.pid)),
                await running.enter_async_context(run_channels_plugin(stack.settings.redis_url)),
                await running.enter_async_context(run_nchan(Path(directory))),
            ]
            if fanout_servers[-1] is None:
                sys.stdout.write("nchan not installed (Debian: apt-get install nginx libnginx-mod-nchan)\n")
            yield stack, [side for side in fanout_servers if side is not None]


async def _measure_rounds(
    servers: list[FanoutServer], rounds: int, size: int, *, rate: float, seconds: float
) -> Results:
    pairs = [(server, transport) for server in servers for transport in server.requests_by_transport]
    results: Results = {(server.name, transport): [] for server, transport in pairs}
    for _ in range(rounds):
        for server, transport in pairs:
            request = server.requests_by_transport[transport]
            with SubscriberPool(server.port, request, size, server.ready_marker) as subscribers:
                if seconds >= 1:  # fill the caches and let late connections settle
                    await measure_window(server, transport, subscribers, rate=rate, duration_s=0.5)
                window = await measure_window(server, transport, subscribers, rate=rate, duration_s=seconds)
                results[server.name, transport].append(window)
    return results


def _report_cost(results: Results) -> bool:
    _print_results(results)

    def ratio(field: str, transport: str, other: tuple[str, str]) -> float:
        return (
            _median_of(results, (SIGNALHUB, transport), field) / (_median_of(results, other, field) or 1)
            if other in results
            else 0
        )

    return all(
        [
            _check_target(
                "SSE, CPU, of the channels plugin's", ratio("cpu_us", "sse", (CHANNELS_PLUGIN, "sse")), le, 0.7
            ),
            _check_target("SSE, CPU, of Nchan's", ratio("cpu_us", "sse", (NCHAN, "sse")), le, 1.6),
            _check_target("SSE, p99, of Nchan's", ratio("p99_ms", "sse", (NCHAN, "sse")), le, 2.0),
            _check_target(
                "WebSocket, CPU, of the channels plugin's", ratio("cpu_us", "ws", (CHANNELS_PLUGIN, "ws")), le, 0.9
            ),
            _check_target(
                "WebSocket by ?batch=1, CPU, of SSE's of the plugin",
                ratio("cpu_us", "batch", (CHANNELS_PLUGIN, "sse")),
                le,
                0.7,
            ),
            _check_target(
                "WebSocket by ?batch=1, CPU, of SSE's of Nchan", ratio("cpu_us", "batch", (NCHAN, "sse")), le, 1.6
            ),
        ]
    )


def _report_flood(results: Results) -> bool:
    _print_results(results)
    delivered = min(window.delivered_fraction for window in results[SIGNALHUB, "ws"])
    return _check_target("WebSocket, delivered at 100,000 a second offered", delivered, ge, 1.0)


def _report_rates(rates: dict[str, int]) -> bool:
    table = Table("server", "highest rate held, events/s")
    for name, rate in rates.items():
        table.add(name, str(rate))
    table.write()
    to_plugin = rates[SIGNALHUB] / max(rates[CHANNELS_PLUGIN], 1)
    to_nchan = rates[SIGNALHUB] / max(rates.get(NCHAN, 1), 1)
    return all(
        [_check_target("rate, of the plugin's", to_plugin, ge, 4), _check_target("rate, of Nchan's", to_nchan, ge, 1)]
    )


async def _measure_idle_streams(server: FanoutServer, size: int) -> bool:
    """Measure the memory of idle streams, and check that five thousand of them still deliver."""
    table, kb_per_stream = Table("idle streams", "kB each"), {}
    for transport, number in (("sse", size), ("ws", size), ("sse", 5 * size)):
        rss_before = server.measure_rss_bytes()
        request = server.requests_by_transport[transport]
        with SubscriberPool(server.port, request, number, server.ready_marker) as subscribers:
            await asyncio.sleep(1)
            kb_per_stream[transport, number] = (server.measure_rss_bytes() - rss_before) / number / 1000
            await server.send_events(transport, 1)
            await wait_for_deliveries(subscribers, number)
            is_delivered = subscribers.read_count() == number
        table.add(f"{number} {transport}", f"{kb_per_stream[transport, number]:.0f}")
        await asyncio.sleep(1)
    table.write()
    _check_target(f"{5 * size} idle streams receive an event", float(is_delivered), ge, 1)
    return _check_target("kB for an idle SSE stream", kb_per_stream["sse", size], le, 40) and is_delivered


async def _measure_account_scaling(stack: Stack, size: int) -> bool:
    table, costs = Table("watched accounts", "CPU us/event"), []
    for number in (1, size // 10, 10 * size):
        costs.append(await measure_cost_us(stack.settings, number, 3 * size))
        table.add(str(number), f"{costs[-1]:.0f}")
    table.write()
    return _check_target("event among the most accounts, of one among one", costs[-1] / costs[0], le, 2)


def _print_results(results: Results) -> None:
    table = Table("server", "transport", "CPU us/event", "p50 ms", "p99 ms", "delivered")
    for name, windows in results.items():
        cells = [f"{_median_of(results, name, field):.1f}" for field in ("cpu_us", "p50_ms", "p99_ms")]
        table.add(*name, *cells, f"{min(window.delivered_fraction for window in windows):.1%}")
    table.write()


def _median_of(results: Results, name: tuple[str, str], field: str) -> float:
    return float(median(getattr(window, field) for window in results[name]))


def _check_target(label: str, value: float, compare: Callable[[float, float], bool], target: float) -> bool:
    is_met, sign = compare(value, target), "at most" if compare is le else "at least"
    sys.stdout.write(f"{label}: {value:.2f} (target: {sign} {target:g}){'' if is_met else ' MISSED'}\n")
    return is_met
