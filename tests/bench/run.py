"""`just bench [name] [--quick]`: run one benchmark, or all. Exit status 1 where a target is missed."""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

from signalhub import logging_setup

# Name -> arguments of the long run and of the short one.
BENCHMARKS: Final[dict[str, tuple[dict[str, float], dict[str, float]]]] = {
    "fanout": ({}, {"rounds": 1, "seconds": 0.3, "size": 20, "is_brief": True}),
    "grammar": ({}, {"rounds": 6}),
    "ingest": ({}, {"rounds": 1, "seconds": 0.3}),
    "latency": ({}, {"signals": 4, "quiet_s": 0.5, "installations": 1}),
    "lifecycle": (
        {},
        {"lives": 500, "plain_lives": 50, "rounds": 1, "waiting": 1000, "rush": 300, "many": 20_000, "quiet_s": 1.0},
    ),
    "market": ({}, {"cases": 200, "rounds": 50}),
}


def main(arguments: list[str]) -> int:
    logging_setup.configure("warning")
    is_quick = "--quick" in arguments
    names = [name for name in arguments if name != "--quick"] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.\n")
        return 2
    are_met = [_load_benchmark(name, is_quick=is_quick)() for name in names]
    return 0 if all(are_met) else 1


def _load_benchmark(name: str, *, is_quick: bool) -> Callable[[], bool]:
    sys.stdout.write(f"\n## {name}\n\n")
    long, short = BENCHMARKS[name]
    main_: Callable[..., bool] = import_module(f"tests.bench.{name}").main
    return partial(main_, **(short if is_quick else long))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
