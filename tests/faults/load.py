"""`run.py stream`, `storm`, `stuck`, `overload` and others: one installation under load, and a table of results."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import uvloop

from tests.bench.table import Table
from tests.faults import flood, overload, poison, random_faults, reconnect_burst, slow_readers, soak
from tests.kit.setting_changes import make_settings
from tests.kit.stack import Stack

_MAX_CATCH_UP_S: Final = 10.0
_MAX_P99_RATIO: Final = 1.5
_MAX_GROWTH_MB: Final = 1.0
_MAX_SLOPE_MB_PER_H: Final = 1.0
_MIN_SLOPE_MINUTES: Final = 30.0
_WARM_UP_SHARE: Final = 0.3
_SOAK_RATE: Final = 20.0
_FLOOD_RATE: Final = 80.0
_RANDOM_FAULT_RATE: Final = 200.0
_MAX_P95_RATIO: Final = 1.2

T = TypeVar("T")


def run_flood(arguments: argparse.Namespace) -> int:
    """Run subscribers that cut their connections while processes and servers are killed."""
    kill_s = min(30.0, arguments.seconds / 3)
    cut_s = min(20.0, arguments.seconds / 5)
    plan = flood.FloodPlan(
        subscriber_count=arguments.subscribers or 1000,
        events_per_second=arguments.rate or _FLOOD_RATE,
        duration_s=arguments.seconds,
        mean_cut_interval_s=cut_s,
        web_kill_interval_s=kill_s,
    )
    report = _run_on_stack(3, lambda stack: flood.run(stack, plan))
    _print_figures({"subscribers": plan.subscriber_count} | _to_figures(report))
    return 0 if report.is_complete else 1


def run_reconnect_burst(arguments: argparse.Namespace) -> int:
    """Kill the only web process under all subscribers."""
    plan = reconnect_burst.ReconnectPlan(subscriber_count=arguments.subscribers or 2000)
    report = _run_on_stack(1, lambda stack: reconnect_burst.run(stack, plan))
    figures = {
        "caught up": f"{report.catch_up_s:.1f} s",
        "reads": report.database_reads,
        "a second": f"{report.database_reads_per_second:.2f}",
    }
    _print_figures({"subscribers": plan.subscriber_count} | figures | _to_figures(report.delivery))
    return (
        0
        if report.delivery.is_complete
        and report.catch_up_s <= _MAX_CATCH_UP_S
        and report.database_reads_per_second <= 1
        else 1
    )


def run_slow_readers(arguments: argparse.Namespace) -> int:
    """Let one subscriber in twenty stop reading."""
    count = arguments.subscribers or 300
    report = _run_on_stack(
        1,
        lambda stack: slow_readers.run(
            stack, slow_readers.SlowReaderPlan(subscriber_count=count, stalled_count=max(1, count // 20))
        ),
    )
    figures = {
        "p99 alone": f"{report.baseline_p99_ms:.0f} ms",
        "p99": f"{report.p99_ms:.0f} ms",
        "each costs": f"{report.memory_growth_mb:.2f} MB",
        "slow closes": report.slow_closes,
    }
    _print_figures({"subscribers": count} | figures | _to_figures(report.delivery))
    is_within_targets = (
        report.p99_ms <= _MAX_P99_RATIO * report.baseline_p99_ms and report.memory_growth_mb <= _MAX_GROWTH_MB
    )
    return 0 if report.delivery.is_complete and is_within_targets else 1


def run_random_faults(arguments: argparse.Namespace) -> int:
    """Kill, stop, freeze and empty parts at random, with two web and two worker processes."""
    plan = random_faults.RandomFaultPlan(
        duration_s=arguments.seconds,
        signals_per_second=arguments.rate or _RANDOM_FAULT_RATE,
        pause_before_fault_s=arguments.pause,
        seed=arguments.seed,
    )
    report = _run_on_stack(2, lambda stack: random_faults.run(stack, plan), worker_processes=2, heartbeat_s=1.0)
    figures = msgspec.structs.asdict(report)
    del figures["faults"], figures["delivery"]
    figures = {"seed": plan.seed, "faults": sum(report.faults.values())} | figures
    _print_figures(figures | _to_figures(report.delivery))
    for name, count in sorted(report.faults.items()):
        sys.stdout.write(f"{count:>11}  {name}\n")
    for name, count in report.violations.items():
        sys.stdout.write(f"VIOLATION  {name}: {count}\n")
    return 1 if report.violations else 0


def run_soak(arguments: argparse.Namespace) -> int:
    """Run a steady load and print how the memory of each process develops."""
    duration_s = arguments.minutes * 60
    plan = soak.SoakPlan(
        duration_s=duration_s, warm_up_s=duration_s * _WARM_UP_SHARE, signals_per_second=arguments.rate or _SOAK_RATE
    )
    report = _run_on_stack(1, lambda stack: soak.run(stack, plan))
    _print_figures({"minutes": arguments.minutes, "signals": report.signals, "unanswered": report.unanswered})
    for trend in report.trends:
        figures = f"{trend.first_mb:>8.1f} MB to {trend.last_mb:>6.1f} MB  {trend.slope_mb_per_h:>+7.2f} MB/h"
        sys.stdout.write(f"{trend.process:>16}  {figures}\n")
    # Over a shorter time the slope is that of the allocator's noise.
    is_long = arguments.minutes >= _MIN_SLOPE_MINUTES
    is_steady = all(trend.slope_mb_per_h <= _MAX_SLOPE_MB_PER_H for trend in report.trends)
    return 0 if is_steady or not is_long else 1


def run_overload(arguments: argparse.Namespace) -> int:
    """Send more signals than can be stored, from more connections than can be served; `--seconds` is for all of it."""
    plan = overload.OverloadPlan(duration_s=arguments.seconds / 7)
    # No order falls due during the run, so the worker has nothing to do.
    phases = _run_on_stack(
        arguments.web, lambda stack: overload.run(stack, plan), demo_fill_s=3600.0, demo_close_s=3600.0
    )
    table = Table(*overload.HEADINGS)
    for row in overload.to_rows(phases):
        table.add(*row)
    table.write()
    sys.stdout.write(f"capacity: {phases[0].capacity:,.0f} signals a second\n")
    return 0 if all(phase.is_within_targets for phase in phases) else 1


def run_poison(arguments: argparse.Namespace) -> int:
    """Let one in a hundred orders or messages be one that can never succeed."""
    plan = poison.PoisonPlan(signals_per_second=arguments.rate or _FLOOD_RATE, phase_s=arguments.seconds / 2)
    settings = {"demo_fill_s": 0.5, "demo_close_s": 1.0, "retry_base_s": 0.1, "retry_cap_s": 0.5}
    report = _run_on_stack(1, lambda stack: poison.run(stack, plan), **settings)
    _print_figures(msgspec.structs.asdict(report))
    is_as_fast = report.p95_s <= _MAX_P95_RATIO * report.baseline_p95_s
    return 0 if is_as_fast and not report.unfinished else 1


LOAD_RUNS_BY_NAME: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "any": run_random_faults,
    "soak": run_soak,
    "stream": run_flood,
    "storm": run_reconnect_burst,
    "stuck": run_slow_readers,
    "overload": run_overload,
    "poison": run_poison,
}


def _run_on_stack(
    web_processes: int,
    scenario: Callable[[Stack], Coroutine[Any, Any, T]],
    **changes: Any,  # noqa: ANN401 - settings
) -> T:
    defaults: dict[str, Any] = {
        "demo_fill_s": 1.0,
        "demo_close_s": 2.0,
        "heartbeat_s": 5.0,
        "max_streams_per_account": 100_000,
        "slow_reader_s": 8.0,
    }
    settings = make_settings(web_processes=web_processes, **(defaults | changes))
    with tempfile.TemporaryDirectory(prefix="signalhub-faults-") as scratch:
        stack = Stack(Path(scratch), settings)
        try:
            return uvloop.run(scenario(stack.start()))
        finally:
            stack.stop()


def _to_figures(report: flood.DeliveryReport) -> dict[str, object]:
    figures = msgspec.structs.asdict(report)
    del figures["control_messages"]
    for message in report.control_messages[:5]:
        sys.stdout.write(f"VIOLATION  {message}\n")
    return figures | {"control": len(report.control_messages)}


def _print_figures(figures: dict[str, object]) -> None:
    sys.stdout.write("  ".join(f"{name:>11}" for name in figures) + "\n")
    sys.stdout.write("  ".join(f"{value!s:>11}" for value in figures.values()) + "\n")
