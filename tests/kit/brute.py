"""The first touch and the extremes, found by looking at everything: slow, and too simple to be wrong."""

import random
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from signalhub.domain.market.path import BLOCK, LEAF, YEAR, height, key
from signalhub.domain.market.touch import BEYOND

_LEAF_US = 1 << LEAF
_YEAR_US = 31_557_600 * 10**6


class Case(NamedTuple):
    curve: bytes
    low: int
    high: int
    start: int
    end: int


def cases(count: int) -> Iterator[Case]:
    """A minute or less somewhere, now and then across the edge of a block, in a band of any width, also of none."""
    draw = random.Random(count)  # noqa: S311 - it draws cases
    for number in range(count):
        start = draw.randrange(2 * 10**15) if number % 10 else draw.randrange(1, 60) * BLOCK - draw.randrange(10**7)
        span = draw.randrange(60 * _LEAF_US) if number % 7 else draw.randrange(3)
        curve = key("brute", f"S{number % 50}")
        width = YEAR * (max(span, 1000) / _YEAR_US) ** 0.5
        below, above = (int(width * draw.uniform(-0.1, 2)) for _ in range(2))
        begin = height(curve, start)
        low, high = begin - below, begin + above
        if number % 5 == 0:
            low, high = (low, BEYOND) if draw.random() < 0.5 else (-BEYOND, high)
        yield Case(curve, low, high, start, start + span)


def knots(start: int, end: int) -> list[int]:
    return [start, *range((start // _LEAF_US + 1) * _LEAF_US, end, _LEAF_US), end]


def first_touch(case: Case) -> tuple[int, bool] | None:
    """Between two knots the curve is straight, so that the first instant beyond is found by bisection."""
    before = case.start
    for knot in knots(case.start, case.end):
        if _is_out(case, knot):
            span = range(before, knot + 1)
            at = span[bisect_left(span, True, key=lambda when: _is_out(case, when))]
            return at, height(case.curve, at) >= case.high
        before = knot
    return None


def extremes(curve: bytes, start: int, end: int) -> tuple[int, int]:
    heights = [height(curve, knot) for knot in knots(start, end)]
    return min(heights), max(heights)


def _is_out(case: Case, at: int) -> bool:
    return not case.low < height(case.curve, at) < case.high
