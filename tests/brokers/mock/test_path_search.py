"""What the searches find is what looking at everything finds, at a price that hardly depends on how long it is.

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

CURVE: Final = derive_path_key("signalhub", "EURUSD")
NOW: Final = 1_767_268_800_000_000
SECOND: Final = 10**6
DAY: Final = 86_400 * SECOND
YEAR_US: Final = 31_557_600 * SECOND


def test_first_touch_matches_brute_force() -> None:
    sides = set()
    for case in brute_force_path.generate_cases(400):
        found = find_first_touch(*case)
        assert (None if found is None else (found.time_us, found.is_upper)) == brute_force_path.find_first_touch(
            case
        ), case
        sides.add(None if found is None else found.is_upper)
    assert sides == {None, True, False}


def test_extremes_match_brute_force() -> None:
    for curve, _, _, start, end in brute_force_path.generate_cases(120):
        assert find_extremes(curve, start, end) == brute_force_path.find_extremes(curve, start, end)


def test_approximate_extremes_are_close_to_exact() -> None:
    draw = random.Random(4)  # noqa: S311 - it draws cases
    for span in (0, 1, 1000, SECOND, 3600 * SECOND, DAY, 400 * DAY):
        start = NOW + draw.randrange(10**15)
        seen, real = approximate_extremes(CURVE, start, start + span), find_extremes(CURVE, start, start + span)
        assert real[0] <= seen[0] <= seen[1] <= real[1]
        assert max(seen[0] - real[0], real[1] - seen[1]) <= YEAR_DEVIATION * (span / YEAR_US) ** 0.5 / 3


def test_first_touch_is_first_on_long_spans() -> None:
    """For spans that cannot be looked at whole: the height at the answer is at the edge, no instant's before it is."""
    draw = random.Random(8)  # noqa: S311 - it draws cases
    for number in range(60):
        start, span = NOW + draw.randrange(10**15), DAY * 10 ** draw.randrange(3)
        begin, width = height_at(CURVE, start), int(YEAR_DEVIATION * (span / YEAR_US) ** 0.5)
        low, high = begin - width, begin + width
        found = find_first_touch(CURVE, low, high, start, start + span)
        until = start + span if found is None else found.time_us
        assert all(low < height_at(CURVE, draw.randrange(start, until)) < high for _ in range(50)), number
        if found is not None:
            assert low < height_at(CURVE, found.time_us - 1) < high
            assert (height_at(CURVE, found.time_us) >= high) is found.is_upper


def test_first_touch_includes_both_ends() -> None:
    begin = height_at(CURVE, NOW)
    assert find_first_touch(CURVE, begin, UNREACHABLE_HEIGHT, NOW, NOW) == Touch(NOW, is_upper=False)
    assert find_first_touch(CURVE, -UNREACHABLE_HEIGHT, begin, NOW, NOW) == Touch(NOW, is_upper=True)
    found = find_first_touch(CURVE, begin - YEAR_DEVIATION // 10_000, begin + YEAR_DEVIATION // 10_000, NOW, NOW + DAY)
    assert found is not None
    assert (
        find_first_touch(CURVE, begin - YEAR_DEVIATION // 10_000, begin + YEAR_DEVIATION // 10_000, NOW, found.time_us)
        == found
    )
    assert (
        find_first_touch(
            CURVE, begin - YEAR_DEVIATION // 10_000, begin + YEAR_DEVIATION // 10_000, NOW, found.time_us - 1
        )
        is None
    )


def test_first_touch_handles_a_century_without_touch() -> None:
    assert find_first_touch(CURVE, -9 * YEAR_DEVIATION, 9 * YEAR_DEVIATION, NOW, NOW + 100 * YEAR_US) is None


def test_first_touch_cost_grows_slowly_with_span() -> None:
    """Counted in lines of the search: a clock would tell how busy the machine is."""

    def cost(span: int) -> int:
        draw = random.Random(9)  # noqa: S311 - it draws cases
        bands = []
        for number in range(100):
            start, curve = NOW + draw.randrange(10**15), derive_path_key("cost", f"{span}/{number}")
            begin, width = height_at(curve, start), int(YEAR_DEVIATION * (span / YEAR_US) ** 0.5)
            bands.append((curve, begin - width, begin + width, start, start + span))
        return _steps(lambda: [find_first_touch(*band) for band in bands])

    assert 1000 < cost(DAY) <= 3 * cost(60 * SECOND)


def _steps(ask: Callable[[], object]) -> int:
    count = 0

    def look(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        nonlocal count
        count += event == "line"
        return look if frame.f_code is path_search.search_block_for_touch.__code__ else None

    before = sys.gettrace()
    sys.settrace(look)
    try:
        ask()
    finally:
        sys.settrace(before)
    return count
