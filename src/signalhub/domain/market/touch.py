"""The first time the curve leaves a band, searched by what segments can reach and not by stepping through time."""

from functools import lru_cache
from typing import Final

import msgspec

from signalhub.domain.market.path import BLOCK, DEPTH, LEAF, REACH, SWING, TWIGS, branch, cover, spans

BEYOND: Final = 1 << 200
"""No curve comes here: the edge of a band that is open on one side."""


class Touch(msgspec.Struct, frozen=True):
    """The first instant at which the height is at an edge of the band or beyond: the upper one, or the lower."""

    at: int
    is_upper: bool


@lru_cache(maxsize=1024)  # an order is asked about several times: when is it due, and then, what happens
def first_touch(curve: bytes, low: int, high: int, start: int, end: int) -> Touch | None:
    """When the curve first is at `low` or lower, or at `high` or higher, from `start` to `end`, both included."""
    for block, span in spans(start, end):
        found = _search(curve, block, (low, high), span)
        if found is not None:
            return Touch(block * BLOCK + found[0], found[1])
    return None


def _search(curve: bytes, block: int, band: tuple[int, int], span: tuple[int, int]) -> tuple[int, bool] | None:
    # Depth first and left to right, so that the first leaf that touches is the answer. One body: it is the inner loop.
    since, until = span
    low, high = band[0] >> LEAF, -(-band[1] >> LEAF)
    waiting = [(*one, *branch(curve, block, *one[:2])) for one in cover(curve, block, since, until)[::-1]]
    while waiting:
        depth, index, left, right, draws, twig = waiting.pop()
        if depth == DEPTH:
            begin = index << LEAF
            found = _cross(left, right, band, (max(since - begin, 0), min(until - begin, 1 << LEAF)))
            if found is not None:
                return begin + found[0], found[1]
            continue
        if twig >= TWIGS:
            draws, twig = branch(curve, block, depth, index)
        middle = ((left + right) >> 1) + (SWING[depth] * draws[twig] >> 31)
        depth, index, twig = depth + 1, 2 * index, 2 * twig
        floor, ceiling, half = low + REACH[depth], high - REACH[depth], (index + 1) << (LEAF + DEPTH - depth)
        is_out = middle <= floor or middle >= ceiling
        if half <= until and (is_out or right <= floor or right >= ceiling):
            waiting.append((depth, index + 1, middle, right, draws, twig + 1))
        if half >= since and (is_out or left <= floor or left >= ceiling):
            waiting.append((depth, index, left, middle, draws, twig))
    return None


def _cross(left: int, right: int, band: tuple[int, int], span: tuple[int, int]) -> tuple[int, bool] | None:
    """The same within a leaf, which is straight; times are offsets from its beginning."""
    (low, high), (since, until) = band, span
    slope = right - left
    begin = (left << LEAF) + slope * since
    if begin <= low or begin >= high:
        return since, begin >= high
    if slope == 0:
        return None
    way = high - begin if slope > 0 else begin - low
    at = since - (-way // abs(slope))
    return (at, slope > 0) if at <= until else None
