"""The first time the curve leaves a band, searched by what segments can reach and not by stepping through time."""

from functools import lru_cache
from typing import Final

import msgspec

from signalhub.domain.market.path import (
    BLOCK_US,
    LEAF_BITS,
    LEAF_DEPTH,
    MAX_DISPLACEMENT,
    MAX_EXCURSION,
    NODES_PER_HASH,
    covering_segments,
    node_draws,
    split_into_blocks,
)

UNREACHABLE_HEIGHT: Final = 1 << 200
"""No curve comes here: the edge of a band that is open on one side."""


class Touch(msgspec.Struct, frozen=True):
    """The first instant at which the height is at an edge of the band or beyond: the upper one, or the lower."""

    time_us: int
    is_upper: bool


@lru_cache(maxsize=1024)  # an order is asked about several times: when is it due, and then, what happens
def find_first_touch(path_key: bytes, low: int, high: int, start: int, end: int) -> Touch | None:
    """When the curve first is at `low` or lower, or at `high` or higher, from `start` to `end`, both included."""
    for block, span in split_into_blocks(start, end):
        found = _search_first_touch(path_key, block, (low, high), span)
        if found is not None:
            return Touch(block * BLOCK_US + found[0], found[1])
    return None


def _search_first_touch(
    path_key: bytes, block: int, band: tuple[int, int], span: tuple[int, int]
) -> tuple[int, bool] | None:
    # Depth first and left to right, so that the first leaf that touches is the answer. One body: it is the inner loop.
    since, until = span
    low, high = band[0] >> LEAF_BITS, -(-band[1] >> LEAF_BITS)
    waiting = [
        (*one, *node_draws(path_key, block, *one[:2])) for one in covering_segments(path_key, block, since, until)[::-1]
    ]
    while waiting:
        depth, index, left, right, draws, twig = waiting.pop()
        if depth == LEAF_DEPTH:
            begin = index << LEAF_BITS
            found = _find_crossing_in_leaf(
                left, right, band, (max(since - begin, 0), min(until - begin, 1 << LEAF_BITS))
            )
            if found is not None:
                return begin + found[0], found[1]
            continue
        if twig >= NODES_PER_HASH:
            draws, twig = node_draws(path_key, block, depth, index)
        middle = ((left + right) >> 1) + (MAX_DISPLACEMENT[depth] * draws[twig] >> 31)
        depth, index, twig = depth + 1, 2 * index, 2 * twig
        floor, ceiling, half = (
            low + MAX_EXCURSION[depth],
            high - MAX_EXCURSION[depth],
            (index + 1) << (LEAF_BITS + LEAF_DEPTH - depth),
        )
        is_out = middle <= floor or middle >= ceiling
        if half <= until and (is_out or right <= floor or right >= ceiling):
            waiting.append((depth, index + 1, middle, right, draws, twig + 1))
        if half >= since and (is_out or left <= floor or left >= ceiling):
            waiting.append((depth, index, left, middle, draws, twig))
    return None


def _find_crossing_in_leaf(
    left: int, right: int, band: tuple[int, int], span: tuple[int, int]
) -> tuple[int, bool] | None:
    """The same within a leaf, which is straight; times are offsets from its beginning."""
    (low, high), (since, until) = band, span
    slope = right - left
    begin = (left << LEAF_BITS) + slope * since
    if begin <= low or begin >= high:
        return since, begin >= high
    if slope == 0:
        return None
    way = high - begin if slope > 0 else begin - low
    at = since - (-way // abs(slope))
    return (at, slope > 0) if at <= until else None
