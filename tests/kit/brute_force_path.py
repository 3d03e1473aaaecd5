"""The first touch and the extremes, found by looking at everything: slow, and too simple to be wrong."""

import random
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from signalhub.brokers.mock.brownian_path import BLOCK_US, LEAF_BITS, YEAR_DEVIATION, derive_path_key, height_at
from signalhub.brokers.mock.path_search import UNREACHABLE_HEIGHT

_LEAF_US = 1 << LEAF_BITS
_YEAR_US = 31_557_600 * 10**6


class TouchCase(NamedTuple):
    curve: bytes
    low: int
    high: int
    start_us: int
    end_us: int


def generate_cases(count: int) -> Iterator[TouchCase]:
    """A minute or less somewhere, now and then across the edge of a block, in a band of any width, also of none."""
    draw = random.Random(count)  # noqa: S311 - it draws cases
    for number in range(count):
        start = draw.randrange(2 * 10**15) if number % 10 else draw.randrange(1, 60) * BLOCK_US - draw.randrange(10**7)
        span = draw.randrange(60 * _LEAF_US) if number % 7 else draw.randrange(3)
        curve = derive_path_key("brute", f"S{number % 50}")
        width = YEAR_DEVIATION * (max(span, 1000) / _YEAR_US) ** 0.5
        below, above = (int(width * draw.uniform(-0.1, 2)) for _ in range(2))
        begin = height_at(curve, start)
        low, high = begin - below, begin + above
        if number % 5 == 0:
            low, high = (low, UNREACHABLE_HEIGHT) if draw.random() < 0.5 else (-UNREACHABLE_HEIGHT, high)
        yield TouchCase(curve, low, high, start, start + span)


def list_knots(start_us: int, end_us: int) -> list[int]:
    return [start_us, *range((start_us // _LEAF_US + 1) * _LEAF_US, end_us, _LEAF_US), end_us]


def find_first_touch(case: TouchCase) -> tuple[int, bool] | None:
    """Between two knots the curve is straight, so that the first instant beyond is found by bisection."""
    before = case.start_us
    for knot in list_knots(case.start_us, case.end_us):
        if _is_outside(case, knot):
            span = range(before, knot + 1)
            at = span[bisect_left(span, True, key=lambda when: _is_outside(case, when))]
            return at, height_at(case.curve, at) >= case.high
        before = knot
    return None


def find_extremes(curve: bytes, start_us: int, end_us: int) -> tuple[int, int]:
    heights = [height_at(curve, knot) for knot in list_knots(start_us, end_us)]
    return min(heights), max(heights)


def _is_outside(case: TouchCase, time_us: int) -> bool:
    return not case.low < height_at(case.curve, time_us) < case.high
