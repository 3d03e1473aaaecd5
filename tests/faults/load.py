"""`run.py stream`, `storm` and `stuck`: one installation, a crowd of subscribers, and a line with what came of it."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import uvloop

from tests.faults import flood, reconnect_burst, slow_readers
from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack

_MAX_CATCH_UP_S: Final = 10.0
_MAX_P99_RATIO: Final = 1.5
_MAX_GROWTH_MB: Final = 1.0

T = TypeVar("T")


def run_flood(arguments: argparse.Namespace) -> int:
    """Subscribers that cut themselves off, while processes and servers are killed."""
    kill_s = min(30.0, arguments.seconds / 3)
    cut_s = min(20.0, arguments.seconds / 5)
    plan = flood.FloodPlan(
        subscriber_count=arguments.subscribers or 1000,
        events_per_second=arguments.rate,
        duration_s=arguments.seconds,
        mean_cut_interval_s=cut_s,
        web_kill_interval_s=kill_s,
    )
    seen = _run_on_stack(3, lambda stack: flood.run(stack, plan))
    _print_figures({"subscribers": plan.subscriber_count} | _to_figures(seen))
    return 0 if seen.is_complete else 1


def run_reconnect_burst(arguments: argparse.Namespace) -> int:
    """The one web process is killed under all of them."""
    plan = reconnect_burst.ReconnectPlan(subscriber_count=arguments.subscribers or 2000)
    calm = _run_on_stack(1, lambda stack: reconnect_burst.run(stack, plan))
    told = {
        "caught up": f"{calm.catch_up_s:.1f} s",
        "reads": calm.database_reads,
        "a second": f"{calm.database_reads_per_second:.2f}",
    }
    _print_figures({"subscribers": plan.subscriber_count} | told | _to_figures(calm.delivery))
    return (
        0
        if calm.delivery.is_complete and calm.catch_up_s <= _MAX_CATCH_UP_S and calm.database_reads_per_second <= 1
        else 1
    )


def run_slow_readers(arguments: argparse.Namespace) -> int:
    """One in twenty stops reading."""
    count = arguments.subscribers or 300
    cost = _run_on_stack(
        1,
        lambda stack: slow_readers.run(
            stack, slow_readers.SlowReaderPlan(subscriber_count=count, stalled_count=max(1, count // 20))
        ),
    )
    told = {
        "p99 alone": f"{cost.baseline_p99_ms:.0f} ms",
        "p99": f"{cost.p99_ms:.0f} ms",
        "each costs": f"{cost.memory_growth_mb:.2f} MB",
        "slow closes": cost.slow_closes,
    }
    _print_figures({"subscribers": count} | told | _to_figures(cost.delivery))
    is_borne = cost.p99_ms <= _MAX_P99_RATIO * cost.baseline_p99_ms and cost.memory_growth_mb <= _MAX_GROWTH_MB
    return 0 if cost.delivery.is_complete and is_borne else 1


LOAD_RUNS_BY_NAME: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "stream": run_flood,
    "storm": run_reconnect_burst,
    "stuck": run_slow_readers,
}


def _run_on_stack(web_processes: int, scenario: Callable[[Stack], Coroutine[Any, Any, T]]) -> T:
    settings = make_settings(
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
            return uvloop.run(scenario(stack.start()))
        finally:
            stack.stop()


def _to_figures(report: flood.DeliveryReport) -> dict[str, object]:
    figures = msgspec.structs.asdict(report)
    for one in report.told[:5]:
        sys.stdout.write(f"BROKEN  {one}\n")
    return figures | {"told": len(report.told)}


def _print_figures(figures: dict[str, object]) -> None:
    sys.stdout.write("  ".join(f"{name:>11}" for name in figures) + "\n")
    sys.stdout.write("  ".join(f"{value!s:>11}" for value in figures.values()) + "\n")
