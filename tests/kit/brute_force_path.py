"""Reference for the path search: first touch and extremes by looking at every knot."""

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
    """Generate spans of up to a minute, some across a block boundary, in bands of any width, also of none."""
    rng = random.Random(count)  # noqa: S311 - no secret depends on it
    for number in range(count):
        start = rng.randrange(2 * 10**15) if number % 10 else rng.randrange(1, 60) * BLOCK_US - rng.randrange(10**7)
        span = rng.randrange(60 * _LEAF_US) if number % 7 else rng.randrange(3)
        curve = derive_path_key("brute", f"S{number % 50}")
        width = YEAR_DEVIATION * (max(span, 1000) / _YEAR_US) ** 0.5
        below, above = (int(width * rng.uniform(-0.1, 2)) for _ in range(2))
        start_height = height_at(curve, start)
        low, high = start_height - below, start_height + above
        if number % 5 == 0:
            low, high = (low, UNREACHABLE_HEIGHT) if rng.random() < 0.5 else (-UNREACHABLE_HEIGHT, high)
        yield TouchCase(curve, low, high, start, start + span)


def list_knots(start_us: int, end_us: int) -> list[int]:
    return [start_us, *range((start_us // _LEAF_US + 1) * _LEAF_US, end_us, _LEAF_US), end_us]


def find_first_touch(case: TouchCase) -> tuple[int, bool] | None:
    """Return the first instant outside the band, and whether it is above. The curve is linear between knots: bisect."""
    before = case.start_us
    for knot in list_knots(case.start_us, case.end_us):
        if _is_outside(case, knot):
            span = range(before, knot + 1)
            touch_us = span[bisect_left(span, True, key=lambda time_us: _is_outside(case, time_us))]
            return touch_us, height_at(case.curve, touch_us) >= case.high
        before = knot
    return None


def find_extremes(curve: bytes, start_us: int, end_us: int) -> tuple[int, int]:
    heights = [height_at(curve, knot) for knot in list_knots(start_us, end_us)]
    return min(heights), max(heights)


def _is_outside(case: TouchCase, time_us: int) -> bool:
    return not case.low < height_at(case.curve, time_us) < case.high
