"""The long form of the fault tests: `python tests/faults/run.py [name] [--seconds N]`.

Sends signals while something is killed every few seconds and prints the results. Exit status 1 after a violation.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

import structlog

from tests.faults import chaos_runs, kill_restart, load, restarts
from tests.faults.chaos_runs import ChaosRunPlan, percentile
from tests.kit.invariants import InvariantReport
from tests.kit.setting_changes import change_settings, make_settings
from tests.kit.stack import Stack

_SETTINGS = make_settings(demo_fill_s=1.0, demo_close_s=2.0, heartbeat_s=1.0)
# Settings for a run of this name: the worker is killed while the broker fails too.
_SETTINGS_BY_NAME: Final[dict[str, dict[str, Any]]] = {
    "hostile": {"chaos": "hostile", "lease_s": 2.0, "retry_base_s": 0.1, "retry_cap_s": 1.0}
}
_SIGNALS_PER_SECOND: Final = 80.0
_HEADINGS = (
    "killed",
    "faults",
    "acks",
    "503",
    "cut",
    "orders",
    "lost",
    "doubled",
    "late p50",
    "p99",
    "max",
    "503 max",
)


def main() -> int:
    arguments = _parse_arguments()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # only the table is printed
    if arguments.name in load.LOAD_RUNS_BY_NAME:
        return load.LOAD_RUNS_BY_NAME[arguments.name](arguments)
    if arguments.name == "restarts":
        return _run_restarts(arguments)
    names = [arguments.name] if arguments.name else list(kill_restart.FAULTS_BY_NAME)
    _print_row(_HEADINGS)
    reports = [_run_named(name, arguments) for name in names]
    return 1 if any(report.violations for report in reports) else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill parts of a running SignalHub and check that nothing is lost.")
    names = [*kill_restart.FAULTS_BY_NAME, *load.LOAD_RUNS_BY_NAME, "restarts"]
    parser.add_argument("name", nargs="?", choices=names, help="what to kill; without it, each part in turn")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long signals are sent (default: 60)")
    parser.add_argument("--rate", type=float, help="signals a second; stream: events (default: 80; any: 200; soak: 20)")
    parser.add_argument("--minutes", type=float, default=10.0, help="soak: how long (default: 10)")
    parser.add_argument("--subscribers", type=int, help="stream, storm: how many (default: 1000, 2000)")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between two faults (default: 5)")
    parser.add_argument("--web", type=int, default=1, help="web processes (default: 1)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="any: which faults come in which order (default: 1)")
    parser.add_argument("--repeat", type=int, default=20, help="restarts: stops of each kind (default: 20)")
    parser.add_argument("--keep", type=Path, help="a directory for data, logs and observations, kept afterwards")
    return parser.parse_args()


def _run_restarts(arguments: argparse.Namespace) -> int:
    _print_row(("times", "failed", "longest", "at most", "case"))
    is_met = True
    for result in restarts.run_all(arguments.seconds, arguments.repeat):
        cells = (str(result.count), str(result.failed), f"{result.longest_s:.2f} s", f"{result.limit_s:.0f} s")
        _print_row((*cells, result.name if result.is_met else f"{result.name}  VIOLATION"))
        is_met = is_met and result.is_met
    return 0 if is_met else 1


def _run_named(name: str, arguments: argparse.Namespace) -> InvariantReport:
    settings = change_settings(
        _SETTINGS, web_processes=arguments.web, worker_processes=arguments.workers, **_SETTINGS_BY_NAME.get(name, {})
    )
    rate = arguments.rate or _SIGNALS_PER_SECOND
    plan = ChaosRunPlan(
        signal_count=int(arguments.seconds * rate),
        signals_per_second=rate,
        fault_count=max(1, int(arguments.seconds / arguments.pause)),
        pause_before_fault_s=arguments.pause,
        timeout_s=120.0,
    )
    with tempfile.TemporaryDirectory(prefix="signalhub-faults-") as scratch:
        directory = arguments.keep / name if arguments.keep else Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        stack = Stack(directory, settings)
        try:
            report = asyncio.run(chaos_runs.run(stack.start(), plan, kill_restart.FAULTS_BY_NAME[name]))
        finally:
            stack.stop()
    _print_report(name, plan, report)
    return report


def _print_report(name: str, plan: ChaosRunPlan, report: InvariantReport) -> None:
    late = report.lateness_s
    counts = (
        plan.fault_count,
        report.acknowledged_count,
        report.unavailable_count,
        report.lost_connection_count,
        report.order_count,
        report.lost_count,
        report.duplicate_count,
    )
    times = (percentile(late, 0.5), percentile(late, 0.99), percentile(late, 1.0), report.slowest_refusal_s)
    cells = [name, *map(str, counts), *(f"{seconds:.2f} s" for seconds in times)]
    _print_row(cells)
    for violation in report.violations:
        _print_row(("VIOLATION", violation))


def _print_row(cells: Sequence[str]) -> None:
    sys.stdout.write("  ".join(f"{cell:>8}" for cell in cells) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
