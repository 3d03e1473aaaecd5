"""Searches return what a brute-force scan returns, at a cost that hardly depends on the length of the period.

`just bench market` does the same for 10,000 cases.
"""

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from signalhub.brokers.mock import path_search
from signalhub.brokers.mock.brownian_path import YEAR_DEVIATION, derive_path_key, height_at
from signalhub.brokers.mock.path_search import (
    UNREACHABLE_HEIGHT,
    Touch,
    approximate_extremes,
    find_extremes,
    find_first_touch,
)
from tests.kit import brute_force_path

PATH_KEY: Final = derive_path_key("signalhub", "EURUSD")
NOW: Final = 1_767_268_800_000_000
SECOND: Final = 10**6
DAY: Final = 86_400 * SECOND
YEAR_US: Final = 31_557_600 * SECOND


def test_first_touch_matches_brute_force() -> None:
    sides = set()
    for case in brute_force_path.generate_cases(400):
        touch = find_first_touch(*case)
        assert (None if touch is None else (touch.time_us, touch.is_upper)) == brute_force_path.find_first_touch(
            case
        ), case
        sides.add(None if touch is None else touch.is_upper)
    assert sides == {None, True, False}


def test_extremes_match_brute_force() -> None:
    for path_key, _, _, start, end in brute_force_path.generate_cases(120):
        assert find_extremes(path_key, start, end) == brute_force_path.find_extremes(path_key, start, end)


def test_approximate_extremes_are_close_to_exact() -> None:
    rng = random.Random(4)  # noqa: S311 - for test cases
    for span in (0, 1, 1000, SECOND, 3600 * SECOND, DAY, 400 * DAY):
        start = NOW + rng.randrange(10**15)
        approximate, exact = (
            approximate_extremes(PATH_KEY, start, start + span),
            find_extremes(PATH_KEY, start, start + span),
        )
        assert exact[0] <= approximate[0] <= approximate[1] <= exact[1]
        assert max(approximate[0] - exact[0], exact[1] - approximate[1]) <= YEAR_DEVIATION * (span / YEAR_US) ** 0.5 / 3


def test_first_touch_is_first_on_long_spans() -> None:
    """For spans too long to scan: the height at the touch is at the edge, and no sampled height before it is."""
    rng = random.Random(8)  # noqa: S311 - for test cases
    for number in range(60):
        start, span = NOW + rng.randrange(10**15), DAY * 10 ** rng.randrange(3)
        height, width = height_at(PATH_KEY, start), int(YEAR_DEVIATION * (span / YEAR_US) ** 0.5)
        low, high = height - width, height + width
        touch = find_first_touch(PATH_KEY, low, high, start, start + span)
        until = start + span if touch is None else touch.time_us
        assert all(low < height_at(PATH_KEY, rng.randrange(start, until)) < high for _ in range(50)), number
        if touch is not None:
            assert low < height_at(PATH_KEY, touch.time_us - 1) < high
            assert (height_at(PATH_KEY, touch.time_us) >= high) is touch.is_upper


def test_first_touch_includes_both_ends() -> None:
    height = height_at(PATH_KEY, NOW)
    assert find_first_touch(PATH_KEY, height, UNREACHABLE_HEIGHT, NOW, NOW) == Touch(NOW, is_upper=False)
    assert find_first_touch(PATH_KEY, -UNREACHABLE_HEIGHT, height, NOW, NOW) == Touch(NOW, is_upper=True)
    touch = find_first_touch(
        PATH_KEY, height - YEAR_DEVIATION // 10_000, height + YEAR_DEVIATION // 10_000, NOW, NOW + DAY
    )
    assert touch is not None
    assert (
        find_first_touch(
            PATH_KEY, height - YEAR_DEVIATION // 10_000, height + YEAR_DEVIATION // 10_000, NOW, touch.time_us
        )
        == touch
    )
    assert (
        find_first_touch(
            PATH_KEY, height - YEAR_DEVIATION // 10_000, height + YEAR_DEVIATION // 10_000, NOW, touch.time_us - 1
        )
        is None
    )


def test_first_touch_handles_a_century_without_touch() -> None:
    assert find_first_touch(PATH_KEY, -9 * YEAR_DEVIATION, 9 * YEAR_DEVIATION, NOW, NOW + 100 * YEAR_US) is None


def test_first_touch_cost_grows_slowly_with_span() -> None:
    """Counted in executed lines of the search: a time would depend on the load of the machine."""

    def cost(span: int) -> int:
        rng = random.Random(9)  # noqa: S311 - for test cases
        bands = []
        for number in range(100):
            start, path_key = NOW + rng.randrange(10**15), derive_path_key("cost", f"{span}/{number}")
            height, width = height_at(path_key, start), int(YEAR_DEVIATION * (span / YEAR_US) ** 0.5)
            bands.append((path_key, height - width, height + width, start, start + span))
        return _count_lines(lambda: [find_first_touch(*band) for band in bands])

    assert 1000 < cost(DAY) <= 3 * cost(60 * SECOND)


def _count_lines(call: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        nonlocal count
        count += event == "line"
        return trace if frame.f_code is path_search.search_block_for_touch.__code__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
