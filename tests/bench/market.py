"""How long the market's two questions take, and whether the searched answer is the one of looking at everything."""

import random
import sys
from collections.abc import Callable
from time import process_time
from typing import Final

from signalhub.brokers.mock.brownian_path import YEAR_DEVIATION, derive_path_key, height_at
from signalhub.brokers.mock.path_search import find_extremes, find_first_touch
from tests.bench.table import Table
from tests.kit import brute_force_path

_SPANS_S: Final = {"a minute": 60, "an hour": 3600, "a day": 86_400, "30 days": 2_592_000}
_YEAR_S: Final = 31_557_600
_US_PER_S: Final = 10**6
_MAX_DAY_TO_MINUTE_RATIO: Final = 3.0


def main(cases: int = 10_000, rounds: int = 1000) -> bool:
    unlike = [
        case
        for case in brute_force_path.generate_cases(cases)
        if _search_first_touch(case) != brute_force_path.find_first_touch(case)
    ]
    sys.stdout.write(f"first_touch and brute force: {cases} cases, {len(unlike)} of them unlike\n\n")
    table = Table("span", "first touch", "extremes", "price at a time")
    touches = {}
    for name, span in _SPANS_S.items():
        touches[name], ends, look = (
            _measure_us(ask, span, rounds) for ask in (_query_first_touch, _query_extremes, _query_height)
        )
        table.add(name, f"{touches[name]:.0f} µs", f"{ends:.0f} µs", f"{look:.0f} µs")
    table.write()
    ratio = touches["a day"] / touches["a minute"]
    sys.stdout.write(f"\na day / a minute = {ratio:.2f} (at most {_MAX_DAY_TO_MINUTE_RATIO})\n")
    return not unlike and ratio <= _MAX_DAY_TO_MINUTE_RATIO


def _search_first_touch(case: brute_force_path.TouchCase) -> tuple[int, bool] | None:
    found = find_first_touch(*case)
    return None if found is None else (found.time_us, found.is_upper)


def _measure_us(query: Callable[[bytes, int, int], object], span_s: int, rounds: int) -> float:
    """Of processor time for one question about a symbol that nobody has asked about before."""
    draw = random.Random(span_s)  # noqa: S311 - it draws cases
    asked = [(derive_path_key("bench", f"S{number}"), draw.randrange(2 * 10**15)) for number in range(rounds)]
    began = process_time()
    for curve, start in asked:
        query(curve, start, span_s)
    return (process_time() - began) / rounds * 1e6


def _query_first_touch(curve: bytes, start: int, span_s: int) -> object:
    """In a band that is left about every other time."""
    begin, width = height_at(curve, start), int(YEAR_DEVIATION * (span_s / _YEAR_S) ** 0.5)
    return find_first_touch(curve, begin - width, begin + width, start, start + span_s * _US_PER_S)


def _query_extremes(curve: bytes, start: int, span_s: int) -> object:
    return find_extremes(curve, start, start + span_s * _US_PER_S)


def _query_height(curve: bytes, start: int, span_s: int) -> object:
    return height_at(curve, start + span_s * _US_PER_S // 3)
