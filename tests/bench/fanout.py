"""What it costs to pass one event on to a thousand, beside Litestar's channels plugin and beside nginx with Nchan.

One run, one client, the same bytes; rounds take turns, so that a machine whose speed drifts drifts for all, and figures
are medians. Events are fed in from outside: what intake costs is not in it. Counted is the processor time of the
processes that serve, without Valkey and PostgreSQL.
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

from signalhub.settings import Settings
from tests.bench.fanout_accounts import cost_us
from tests.bench.fanout_audience import Audience
from tests.bench.fanout_sides import Side, nchan, service, stock
from tests.bench.fanout_window import Figures, highest_rate, settle, window
from tests.bench.table import Table
from tests.kit.stack import Stack

OURS, STOCK, NCHAN = "signalhub", "channels plugin", "Nchan"
_PARTS: Final = ("cost", "flood", "rate", "idle", "accounts")

Results = dict[tuple[str, str], list[Figures]]


def main(rounds: int = 5, seconds: float = 2.0, size: int = 1000, *, is_brief: bool = False) -> bool:
    """Print the tables; the answer says whether every target is met that what is installed can be held against."""
    return uvloop.run(measure(rounds, seconds, size, _PARTS[:1] if is_brief else _PARTS))


async def measure(rounds: int, seconds: float, size: int, parts: tuple[str, ...]) -> bool:
    met = []
    async with _sides() as (stack, sides):
        if "idle" in parts:  # first, while the process is fresh
            met.append(await _idle(sides[0], size))
        if "cost" in parts:
            met.append(_cost(await _rounds(sides, rounds, size, rate=50, seconds=seconds)))
        if "flood" in parts:
            met.append(_flood(await _rounds(sides[:2], 1, size, rate=100_000 / size, seconds=seconds)))
        if "rate" in parts:
            met.append(_rates({side.name: await highest_rate(side, size, seconds) for side in sides}))
        if "accounts" in parts:
            met.append(await _accounts(stack, size))
    return all(met)


@asynccontextmanager
async def _sides() -> AsyncIterator[tuple[Stack, list[Side]]]:
    with TemporaryDirectory() as home:
        async with AsyncExitStack() as running:
            stack = Stack(Path(home), Settings(max_streams_per_account=20_000))
            running.callback(stack.stop)
            stack.start()
            await stack.ready()
            sides = [
                await running.enter_async_context(service(stack.settings, stack.web.pid)),
                await running.enter_async_context(stock(stack.settings.redis_url)),
                await running.enter_async_context(nchan(Path(home))),
            ]
            if sides[-1] is None:
                sys.stdout.write("nchan not installed (Debian: apt-get install nginx libnginx-mod-nchan)\n")
            yield stack, [side for side in sides if side is not None]


async def _rounds(sides: list[Side], rounds: int, size: int, *, rate: float, seconds: float) -> Results:
    rooms = [(side, room) for side in sides for room in side.requests]
    found: Results = {(side.name, room): [] for side, room in rooms}
    for _ in range(rounds):
        for side, room in rooms:
            with Audience(side.port, side.requests[room], size, side.greeting) as audience:
                if seconds >= 1:  # caches, and the last arrivals
                    await window(side, room, audience, rate=rate, seconds=0.5)
                found[side.name, room].append(await window(side, room, audience, rate=rate, seconds=seconds))
    return found


def _cost(results: Results) -> bool:
    _show(results)

    def ratio(field: str, room: str, other: tuple[str, str]) -> float:
        return _median(results, (OURS, room), field) / (_median(results, other, field) or 1) if other in results else 0

    return all(
        [
            _judge("SSE, CPU, of the channels plugin's", ratio("cpu_us", "sse", (STOCK, "sse")), le, 0.7),
            _judge("SSE, CPU, of Nchan's", ratio("cpu_us", "sse", (NCHAN, "sse")), le, 1.6),
            _judge("SSE, p99, of Nchan's", ratio("p99_ms", "sse", (NCHAN, "sse")), le, 2.0),
            _judge("WebSocket, CPU, of the channels plugin's", ratio("cpu_us", "ws", (STOCK, "ws")), le, 0.9),
            _judge(
                "WebSocket by ?batch=1, CPU, of SSE's of the plugin", ratio("cpu_us", "batch", (STOCK, "sse")), le, 0.7
            ),
            _judge("WebSocket by ?batch=1, CPU, of SSE's of Nchan", ratio("cpu_us", "batch", (NCHAN, "sse")), le, 1.6),
        ]
    )


def _flood(results: Results) -> bool:
    _show(results)
    delivered = min(one.share for one in results[OURS, "ws"])
    return _judge("WebSocket, delivered at 100,000 a second offered", delivered, ge, 1.0)


def _rates(rates: dict[str, int]) -> bool:
    table = Table("server", "highest rate held, events/s")
    for name, rate in rates.items():
        table.add(name, str(rate))
    table.show()
    to_stock = rates[OURS] / max(rates[STOCK], 1)
    to_nchan = rates[OURS] / max(rates.get(NCHAN, 1), 1)
    return all([_judge("rate, of the plugin's", to_stock, ge, 4), _judge("rate, of Nchan's", to_nchan, ge, 1)])


async def _idle(side: Side, size: int) -> bool:
    """Streams that nothing happens on: what they hold, and that five thousand of them still work."""
    table, taken = Table("idle streams", "kB each"), {}
    for room, number in (("sse", size), ("ws", size), ("sse", 5 * size)):
        before = side.rss()
        with Audience(side.port, side.requests[room], number, side.greeting) as audience:
            await asyncio.sleep(1)
            taken[room, number] = (side.rss() - before) / number / 1000
            await side.send(room, 1)
            await settle(audience, number)
            is_heard = audience.count() == number
        table.add(f"{number} {room}", f"{taken[room, number]:.0f}")
        await asyncio.sleep(1)
    table.show()
    _judge(f"{5 * size} idle streams hear an event", float(is_heard), ge, 1)
    return _judge("kB for an idle SSE stream", taken["sse", size], le, 40) and is_heard


async def _accounts(stack: Stack, size: int) -> bool:
    table, costs = Table("watched accounts", "CPU us/event"), []
    for number in (1, size // 10, 10 * size):
        costs.append(await cost_us(stack.settings, number, 3 * size))
        table.add(str(number), f"{costs[-1]:.0f}")
    table.show()
    return _judge("event among the most accounts, of one among one", costs[-1] / costs[0], le, 2)


def _show(results: Results) -> None:
    table = Table("server", "room", "CPU us/event", "p50 ms", "p99 ms", "delivered")
    for name, found in results.items():
        cells = [f"{_median(results, name, field):.1f}" for field in ("cpu_us", "p50_ms", "p99_ms")]
        table.add(*name, *cells, f"{min(one.share for one in found):.1%}")
    table.show()


def _median(results: Results, name: tuple[str, str], field: str) -> float:
    return float(median(getattr(one, field) for one in results[name]))


def _judge(what: str, found: float, compare: Callable[[float, float], bool], target: float) -> bool:
    is_met, sign = compare(found, target), "at most" if compare is le else "at least"
    sys.stdout.write(f"{what}: {found:.2f} (target: {sign} {target:g}){'' if is_met else ' MISSED'}\n")
    return is_met
