"""The lowest and the highest point of the curve between two instants: searched by bounds, or glanced at.

The first time the curve leaves a band, searched by what segments can reach and not by stepping through time.
"""

from functools import lru_cache
from typing import Final

import msgspec

from signalhub.brokers.mock.brownian_path import (
    BLOCK_US,
    LEAF_BITS,
    LEAF_DEPTH,
    MAX_DISPLACEMENT,
    MAX_EXCURSION,
    NODES_PER_HASH,
    covering_segments,
    height_at,
    insert_midpoints,
    midpoint,
    node_draws,
    split_into_blocks,
)

_MIN_SAMPLES: Final = 32


@lru_cache(maxsize=1024)  # candles of the past do not change
def find_extremes(path_key: bytes, start: int, end: int) -> tuple[int, int]:
    """From `start` to `end`, both included."""
    ends = height_at(path_key, start), height_at(path_key, end)
    known = min(ends), max(ends)
    for block, span in split_into_blocks(start, end):
        known = _search_extremes(path_key, block, span, known)
    return known


def approximate_extremes(path_key: bytes, start: int, end: int) -> tuple[int, int]:
    """Nearly the extremes, for a fraction of the work: looks at least 32 times on the way, at equal distances."""
    steps = max((end - start) // _MIN_SAMPLES, 1).bit_length() - 1
    finest = min(max(LEAF_BITS + LEAF_DEPTH - steps, 0), LEAF_DEPTH)
    seen = [height_at(path_key, start), height_at(path_key, end)]
    for block, span in split_into_blocks(start, end):
        seen += _sample_heights(path_key, block, span, finest)
    return min(seen), max(seen)


def _sample_heights(path_key: bytes, block: int, span: tuple[int, int], sample_depth: int) -> list[int]:
    """Return the heights within a span of a block at which segments of the finest depth meet."""
    since, until = span
    covering = covering_segments(path_key, block, since, until)
    depth, first = covering[0][:2]
    ends = [covering[0][2], *(right for _, _, _, right in covering)]
    while depth < sample_depth:
        ends = insert_midpoints(path_key, block, depth, first, ends)
        depth, first = depth + 1, 2 * first
        size = LEAF_BITS + LEAF_DEPTH - depth
        # Of the outermost segments those that do not lie in the span are left behind.
        most, least = (until >> size) + 1 - first, (since >> size) - first
        ends, first = ends[least : most + 1], first + least
    size = LEAF_BITS + LEAF_DEPTH - depth
    least, most = -(-since >> size) - first, (until >> size) - first
    return [end << LEAF_BITS for end in ends[least : most + 1]]


def _search_extremes(
    path_key: bytes, block: int, span: tuple[int, int], initial_extremes: tuple[int, int]
) -> tuple[int, int]:
    """Level by level: the knots of one level show what is worth halving on the next."""
    (since, until), (lowest, highest) = span, initial_extremes
    covering = covering_segments(path_key, block, since, until)
    segments = [(index, left, right) for _, index, left, right in covering]
    if len(segments) > 1:  # what they share is a knot too
        lowest, highest = min(lowest, segments[1][1] << LEAF_BITS), max(highest, segments[1][1] << LEAF_BITS)
    for depth in range(covering[0][0], LEAF_DEPTH):
        size = LEAF_BITS + LEAF_DEPTH - depth - 1
        halves: list[tuple[int, int, int]] = []
        for index, left, right in segments:
            middle = midpoint(path_key, block, depth, index, left + right)
            knot = 2 * index + 1 << size
            if since <= knot <= until:
                lowest, highest = min(lowest, middle << LEAF_BITS), max(highest, middle << LEAF_BITS)
            if knot >= since:
                halves.append((2 * index, left, middle))
            if knot <= until:
                halves.append((2 * index + 1, middle, right))
        low, high = (lowest >> LEAF_BITS) + MAX_EXCURSION[depth + 1], (highest >> LEAF_BITS) - MAX_EXCURSION[depth + 1]
        segments = [one for one in halves if one[1] <= low or one[2] <= low or one[1] >= high or one[2] >= high]
    return lowest, highest


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
    """Search within a leaf, which is straight; times are offsets from its start."""
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
