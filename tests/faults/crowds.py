"""`run.py stream`, `storm` and `stuck`: one installation, a crowd of subscribers, and a line with what came of it."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import uvloop

from signalhub.settings import Settings
from tests.faults import flood, storm, stuck
from tests.kit.stack import Stack

_CAUGHT_UP_S: Final = 10.0
_MOST_SLOWER: Final = 1.5
_MOST_MB: Final = 1.0

T = TypeVar("T")


def stream(asked: argparse.Namespace) -> int:
    """Subscribers that cut themselves off, while processes and servers are killed."""
    kill_s = min(30.0, asked.seconds / 3)
    cut_s = min(20.0, asked.seconds / 5)
    plan = flood.Flood(
        subscribers=asked.subscribers or 1000, rate=asked.rate, seconds=asked.seconds, cut_s=cut_s, web_kill_s=kill_s
    )
    seen = _on_a_stack(3, lambda stack: flood.run(stack, plan))
    _show({"subscribers": plan.subscribers} | _figures(seen))
    return 0 if seen.is_whole else 1


def reconnect(asked: argparse.Namespace) -> int:
    """The one web process is killed under all of them."""
    plan = storm.Storm(subscribers=asked.subscribers or 2000)
    calm = _on_a_stack(1, lambda stack: storm.run(stack, plan))
    told = {"caught up": f"{calm.caught_up_s:.1f} s", "reads": calm.reads, "a second": f"{calm.reads_a_second:.2f}"}
    _show({"subscribers": plan.subscribers} | told | _figures(calm.sight))
    return 0 if calm.sight.is_whole and calm.caught_up_s <= _CAUGHT_UP_S and calm.reads_a_second <= 1 else 1


def jam(asked: argparse.Namespace) -> int:
    """One in twenty stops reading."""
    count = asked.subscribers or 300
    cost = _on_a_stack(1, lambda stack: stuck.run(stack, stuck.Jam(subscribers=count, stuck=max(1, count // 20))))
    told = {
        "p99 alone": f"{cost.p99_alone_ms:.0f} ms",
        "p99": f"{cost.p99_ms:.0f} ms",
        "each costs": f"{cost.growth_mb:.2f} MB",
        "slow closes": cost.slow_closes,
    }
    _show({"subscribers": count} | told | _figures(cost.sight))
    is_borne = cost.p99_ms <= _MOST_SLOWER * cost.p99_alone_ms and cost.growth_mb <= _MOST_MB
    return 0 if cost.sight.is_whole and is_borne else 1


BY_NAME: Final[dict[str, Callable[[argparse.Namespace], int]]] = {"stream": stream, "storm": reconnect, "stuck": jam}


def _on_a_stack(web_processes: int, campaign: Callable[[Stack], Coroutine[Any, Any, T]]) -> T:
    settings = Settings(
        demo_fill_s=1.0,
        demo_close_s=2.0,
        heartbeat_s=5.0,
        web_processes=web_processes,
        max_streams_per_account=100_000,
        slow_reader_s=8.0,
    )
    with tempfile.TemporaryDirectory(prefix="signalhub-faults-") as scratch:
        stack = Stack(Path(scratch), settings)
        try:
            return uvloop.run(campaign(stack.start()))
        finally:
            stack.stop()


def _figures(seen: flood.Sight) -> dict[str, object]:
    figures = msgspec.structs.asdict(seen)
    for one in seen.told[:5]:
        sys.stdout.write(f"BROKEN  {one}\n")
    return figures | {"told": len(seen.told)}


def _show(figures: dict[str, object]) -> None:
    sys.stdout.write("  ".join(f"{name:>11}" for name in figures) + "\n")
    sys.stdout.write("  ".join(f"{value!s:>11}" for value in figures.values()) + "\n")
