"""The price path is the same in every process, continuous, and has the stated volatility."""

import random
import subprocess
import sys
from itertools import pairwise
from statistics import fmean, pvariance
from typing import Final

import pytest

from signalhub.brokers.mock.brownian_path import (
    BLOCK_US,
    LEAF_BITS,
    LEAF_DEPTH,
    MAX_DISPLACEMENT,
    MAX_EXCURSION,
    YEAR_DEVIATION,
    block_start_height,
    derive_path_key,
    height_at,
)

PATH_KEY: Final = derive_path_key("signalhub", "EURUSD")
NOW: Final = 1_767_268_800_000_000
HOUR: Final = 3600 * 10**6
DAY: Final = 24 * HOUR
YEAR_US: Final = 31_557_600 * 10**6

GOLDEN: Final = {
    ("signalhub", "EURUSD", NOW): -75_306_349_567_954_944,
    ("signalhub", "EURUSD", NOW + 1): -75_306_349_622_789_851,
    ("signalhub", "XAUUSD", NOW): -80_212_744_818_679_808,
    ("another", "EURUSD", NOW): -744_775_911_078_215_680,
    ("signalhub", "EURUSD", 0): 702_208_588_950_667_264,
    ("signalhub", "EURUSD", -1): 702_208_589_083_011_241,
    ("signalhub", "EURUSD", 10**20): 151_147_789_145_473_024,
}


@pytest.mark.parametrize(("name", "expected"), GOLDEN.items(), ids=str)
def test_path_heights_match_golden_values(name: tuple[str, str, int], expected: int) -> None:
    """Made with Python 3.11, 3.12 and 3.13. If these change, open orders get other prices."""
    seed, symbol, time_us = name
    assert height_at(derive_path_key(seed, symbol), time_us) == expected


def test_path_is_the_same_in_another_process() -> None:
    look = f"print([height_at(derive_path_key('s', 'X'), {NOW} + n * {DAY}) for n in range(9)])"
    code = f"from signalhub.brokers.mock.brownian_path import derive_path_key, height_at; {look}"
    run = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str([height_at(derive_path_key("s", "X"), NOW + n * DAY) for n in range(9)])


def test_path_keys_are_unambiguous() -> None:
    assert len({derive_path_key("a", "b/c"), derive_path_key("a/b", "c"), derive_path_key("", "a/b/c")}) == 3


def test_path_is_continuous() -> None:
    """A microsecond moves the path no further than the steepest leaf could, also at the edges of blocks."""
    steepest = (2 * MAX_DISPLACEMENT[-1] + MAX_EXCURSION[LEAF_DEPTH - 1]) * LEAF_DEPTH
    rng = random.Random(5)  # noqa: S311 - for test cases
    times = [NOW + rng.randrange(10**15) for _ in range(300)]
    times += [
        edge + step for edge in (0, BLOCK_US, 7 * BLOCK_US, NOW >> LEAF_BITS << LEAF_BITS) for step in (-2, -1, 0, 1)
    ]
    for time_us in times:
        assert abs(height_at(PATH_KEY, time_us + 1) - height_at(PATH_KEY, time_us)) < steepest


def test_adjacent_blocks_share_boundary_heights() -> None:
    for block in (-1, 0, 1, 50, 51):
        assert height_at(PATH_KEY, block * BLOCK_US) == block_start_height(PATH_KEY, block) << LEAF_BITS


def test_segment_stays_within_max_excursion() -> None:
    rng = random.Random(6)  # noqa: S311 - for test cases
    for depth in (0, 5, 12, 20, LEAF_DEPTH - 1, LEAF_DEPTH):
        size = BLOCK_US >> depth
        start = (NOW + rng.randrange(10**15)) // size * size
        ends = height_at(PATH_KEY, start), height_at(PATH_KEY, start + size)
        inside = [height_at(PATH_KEY, start + rng.randrange(size)) for _ in range(200)]
        assert max(inside) <= max(ends) + (MAX_EXCURSION[depth] << LEAF_BITS)
        assert min(inside) >= min(ends) - (MAX_EXCURSION[depth] << LEAF_BITS)


@pytest.mark.parametrize("symbol", ["EURUSD", "BTCUSDT", "ANYTHING"])
def test_a_year_has_the_stated_volatility_and_no_drift(symbol: str) -> None:
    """Of 8,766 hourly returns: the deviation within 3 %, the mean within 4 of its own deviations, no long memory."""
    path_key = derive_path_key("signalhub", symbol)
    hours = [height_at(path_key, NOW + number * HOUR) for number in range(YEAR_US // HOUR + 1)]
    returns = [(after - before) / YEAR_DEVIATION for before, after in pairwise(hours)]
    count = len(returns)
    variance = pvariance(returns)
    assert (variance * count) ** 0.5 == pytest.approx(1, abs=0.03)
    assert abs(fmean(returns)) < 4 * (variance / count) ** 0.5
    autocorrelation = fmean(before * after for before, after in pairwise(returns)) / variance
    assert abs(autocorrelation) < 0.04
    assert 2.5 < fmean(value**4 for value in returns) / variance**2 < 3.2


def test_path_is_bounded_over_2000_years() -> None:
    """If corners were summed up, a price would grow or shrink tenfold within decades."""
    assert max(abs(height_at(PATH_KEY, year * YEAR_US)) for year in range(2000)) < 3 * YEAR_DEVIATION
