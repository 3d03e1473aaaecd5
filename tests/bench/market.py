"""The cost of the market's two searches, and whether their results equal those of a brute-force search."""

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
    differing = [
        case
        for case in brute_force_path.generate_cases(cases)
        if _search_first_touch(case) != brute_force_path.find_first_touch(case)
    ]
    sys.stdout.write(f"first_touch and brute force: {cases} cases, {len(differing)} of them differ\n\n")
    table = Table("span", "first touch", "extremes", "price at a time")
    touch_us = {}
    for name, span in _SPANS_S.items():
        touch_us[name], extremes_us, price_us = (
            _measure_us(query, span, rounds) for query in (_query_first_touch, _query_extremes, _query_height)
        )
        table.add(name, f"{touch_us[name]:.0f} µs", f"{extremes_us:.0f} µs", f"{price_us:.0f} µs")
    table.write()
    ratio = touch_us["a day"] / touch_us["a minute"]
    sys.stdout.write(f"\na day / a minute = {ratio:.2f} (at most {_MAX_DAY_TO_MINUTE_RATIO})\n")
    return not differing and ratio <= _MAX_DAY_TO_MINUTE_RATIO


def _search_first_touch(case: brute_force_path.TouchCase) -> tuple[int, bool] | None:
    touch = find_first_touch(*case)
    return None if touch is None else (touch.time_us, touch.is_upper)


def _measure_us(query: Callable[[bytes, int, int], object], span_s: int, rounds: int) -> float:
    """Return the microseconds of processor time for one query about a symbol that is in no cache."""
    draw = random.Random(span_s)  # noqa: S311 - it draws cases
    queries = [(derive_path_key("bench", f"S{number}"), draw.randrange(2 * 10**15)) for number in range(rounds)]
    began = process_time()
    for curve, start in queries:
        query(curve, start, span_s)
    return (process_time() - began) / rounds * 1e6


def _query_first_touch(curve: bytes, start: int, span_s: int) -> object:
    """Search in a band that the price leaves in about half of the cases."""
    height, width = height_at(curve, start), int(YEAR_DEVIATION * (span_s / _YEAR_S) ** 0.5)
    return find_first_touch(curve, height - width, height + width, start, start + span_s * _US_PER_S)


def _query_extremes(curve: bytes, start: int, span_s: int) -> object:
    return find_extremes(curve, start, start + span_s * _US_PER_S)


def _query_height(curve: bytes, start: int, span_s: int) -> object:
    return height_at(curve, start + span_s * _US_PER_S // 3)
