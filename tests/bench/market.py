"""How long the market's two questions take, and whether the searched answer is the one of looking at everything."""

import random
import sys
from collections.abc import Callable
from time import process_time
from typing import Final

from signalhub.domain.market.extremes import extremes
from signalhub.domain.market.path import YEAR, height, key
from signalhub.domain.market.touch import first_touch
from tests.bench.table import Table
from tests.kit import brute

_SPANS_S: Final = {"a minute": 60, "an hour": 3600, "a day": 86_400, "30 days": 2_592_000}
_YEAR_S: Final = 31_557_600
_US: Final = 10**6
_MOST_RATIO: Final = 3.0


def main(cases: int = 10_000, rounds: int = 1000) -> bool:
    unlike = [case for case in brute.cases(cases) if _found(case) != brute.first_touch(case)]
    sys.stdout.write(f"first_touch and brute force: {cases} cases, {len(unlike)} of them unlike\n\n")
    table = Table("span", "first touch", "extremes", "price at a time")
    touches = {}
    for name, span in _SPANS_S.items():
        touches[name], ends, look = (_microseconds(ask, span, rounds) for ask in (_touch, _ends, _look))
        table.add(name, f"{touches[name]:.0f} µs", f"{ends:.0f} µs", f"{look:.0f} µs")
    table.show()
    ratio = touches["a day"] / touches["a minute"]
    sys.stdout.write(f"\na day / a minute = {ratio:.2f} (at most {_MOST_RATIO})\n")
    return not unlike and ratio <= _MOST_RATIO


def _found(case: brute.Case) -> tuple[int, bool] | None:
    found = first_touch(*case)
    return None if found is None else (found.at, found.is_upper)


def _microseconds(ask: Callable[[bytes, int, int], object], span_s: int, rounds: int) -> float:
    """Of processor time for one question about a symbol that nobody has asked about before."""
    draw = random.Random(span_s)  # noqa: S311 - it draws cases
    asked = [(key("bench", f"S{number}"), draw.randrange(2 * 10**15)) for number in range(rounds)]
    began = process_time()
    for curve, start in asked:
        ask(curve, start, span_s)
    return (process_time() - began) / rounds * 1e6


def _touch(curve: bytes, start: int, span_s: int) -> object:
    """In a band that is left about every other time."""
    begin, width = height(curve, start), int(YEAR * (span_s / _YEAR_S) ** 0.5)
    return first_touch(curve, begin - width, begin + width, start, start + span_s * _US)


def _ends(curve: bytes, start: int, span_s: int) -> object:
    return extremes(curve, start, start + span_s * _US)


def _look(curve: bytes, start: int, span_s: int) -> object:
    return height(curve, start + span_s * _US // 3)
