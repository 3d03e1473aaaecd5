"""Search a price path: its extremes in a period, and when it first leaves a band.

MAX_EXCURSION bounds what a segment can reach, so segments that cannot change the answer are skipped and nothing is
stepped through: a century without a touch takes about as long as a minute.
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


@lru_cache(maxsize=1024)  # the candles of the past are asked for again and again
def find_extremes(path_key: bytes, start: int, end: int) -> tuple[int, int]:
    """Return the lowest and the highest height from `start` to `end`, both included."""
    ends = height_at(path_key, start), height_at(path_key, end)
    extremes = min(ends), max(ends)
    for block, span in split_into_blocks(start, end):
        extremes = search_block_for_extremes(path_key, block, span, extremes)
    return extremes


def approximate_extremes(path_key: bytes, start: int, end: int) -> tuple[int, int]:
    """Return nearly the extremes for a fraction of the work: those of at least 32 samples at equal distances."""
    size = max((end - start) // _MIN_SAMPLES, 1).bit_length() - 1
    sample_depth = min(max(LEAF_BITS + LEAF_DEPTH - size, 0), LEAF_DEPTH)
    heights = [height_at(path_key, start), height_at(path_key, end)]
    for block, span in split_into_blocks(start, end):
        heights += sample_heights(path_key, block, span, sample_depth)
    return min(heights), max(heights)


def sample_heights(path_key: bytes, block: int, span: tuple[int, int], sample_depth: int) -> list[int]:
    """Return the heights in a span of a block at which segments of `sample_depth` meet."""
    since, until = span
    covering = covering_segments(path_key, block, since, until)
    depth, first = covering[0][:2]
    ends = [covering[0][2], *(right for _, _, _, right in covering)]
    while depth < sample_depth:
        ends = insert_midpoints(path_key, block, depth, first, ends)
        depth, first = depth + 1, 2 * first
        size = LEAF_BITS + LEAF_DEPTH - depth
        # Halving the outermost segments leaves halves outside the span: drop them, or their number would double.
        last_end, first_end = (until >> size) + 1 - first, (since >> size) - first
        ends, first = ends[first_end : last_end + 1], first + first_end
    size = LEAF_BITS + LEAF_DEPTH - depth
    first_end, last_end = -(-since >> size) - first, (until >> size) - first
    return [end << LEAF_BITS for end in ends[first_end : last_end + 1]]


def search_block_for_extremes(
    path_key: bytes, block: int, span: tuple[int, int], initial_extremes: tuple[int, int]
) -> tuple[int, int]:
    """Search level by level: the heights found on one level rule out segments of the next."""
    (since, until), (lowest, highest) = span, initial_extremes
    covering = covering_segments(path_key, block, since, until)
    segments = [(index, left, right) for _, index, left, right in covering]
    if len(segments) > 1:  # their common end is a height, too
        lowest, highest = min(lowest, segments[1][1] << LEAF_BITS), max(highest, segments[1][1] << LEAF_BITS)
    for depth in range(covering[0][0], LEAF_DEPTH):
        size = LEAF_BITS + LEAF_DEPTH - depth - 1
        halves: list[tuple[int, int, int]] = []
        for index, left, right in segments:
            middle = midpoint(path_key, block, depth, index, left + right)
            middle_offset = 2 * index + 1 << size
            if since <= middle_offset <= until:
                lowest, highest = min(lowest, middle << LEAF_BITS), max(highest, middle << LEAF_BITS)
            if middle_offset >= since:
                halves.append((2 * index, left, middle))
            if middle_offset <= until:
                halves.append((2 * index + 1, middle, right))
        low, high = (lowest >> LEAF_BITS) + MAX_EXCURSION[depth + 1], (highest >> LEAF_BITS) - MAX_EXCURSION[depth + 1]
        segments = [
            (index, left, right)
            for index, left, right in halves
            if left <= low or right <= low or left >= high or right >= high
        ]
    return lowest, highest


UNREACHABLE_HEIGHT: Final = 1 << 200
"""Above every height: the edge of a band that is open on one side."""


class Touch(msgspec.Struct, frozen=True):
    """When the height is first at or beyond an edge of the band, and at which."""

    time_us: int
    is_upper: bool


@lru_cache(maxsize=1024)  # an order is asked about several times: when it is due, then what happens
def find_first_touch(path_key: bytes, low: int, high: int, start: int, end: int) -> Touch | None:
    """Return when the path is first at or below `low` or at or above `high`, from `start` to `end`, both included."""
    for block, span in split_into_blocks(start, end):
        touch = search_block_for_touch(path_key, block, (low, high), span)
        if touch is not None:
            return Touch(block * BLOCK_US + touch[0], touch[1])
    return None


def search_block_for_touch(
    path_key: bytes, block: int, band: tuple[int, int], span: tuple[int, int]
) -> tuple[int, bool] | None:
    # Depth first and left to right, so that the first leaf that touches is the answer. Not split up: this is the inner
    # loop of the market, and a call costs as much as a step.
    since, until = span
    low, high = band[0] >> LEAF_BITS, -(-band[1] >> LEAF_BITS)
    stack = [
        (depth, index, left, right, *node_draws(path_key, block, depth, index))
        for depth, index, left, right in covering_segments(path_key, block, since, until)[::-1]
    ]
    while stack:
        depth, index, left, right, draws, node = stack.pop()
        if depth == LEAF_DEPTH:
            leaf_start = index << LEAF_BITS
            leaf_span = max(since - leaf_start, 0), min(until - leaf_start, 1 << LEAF_BITS)
            crossing = find_crossing_in_leaf(left, right, band, leaf_span)
            if crossing is not None:
                return leaf_start + crossing[0], crossing[1]
            continue
        if node >= NODES_PER_HASH:
            draws, node = node_draws(path_key, block, depth, index)
        middle = ((left + right) >> 1) + (MAX_DISPLACEMENT[depth] * draws[node] >> 31)
        depth, index, node = depth + 1, 2 * index, 2 * node
        floor, ceiling, half = (
            low + MAX_EXCURSION[depth],
            high - MAX_EXCURSION[depth],
            (index + 1) << (LEAF_BITS + LEAF_DEPTH - depth),
        )
        is_out = middle <= floor or middle >= ceiling
        if half <= until and (is_out or right <= floor or right >= ceiling):
            stack.append((depth, index + 1, middle, right, draws, node + 1))
        if half >= since and (is_out or left <= floor or left >= ceiling):
            stack.append((depth, index, left, middle, draws, node))
    return None


def find_crossing_in_leaf(
    left: int, right: int, band: tuple[int, int], span: tuple[int, int]
) -> tuple[int, bool] | None:
    """Search within a leaf, which is straight; times are offsets from its start."""
    (low, high), (since, until) = band, span
    slope = right - left
    height = (left << LEAF_BITS) + slope * since
    if height <= low or height >= high:
        return since, height >= high
    if slope == 0:
        return None
    distance = high - height if slope > 0 else height - low
    crossing = since - (-distance // abs(slope))
    return (crossing, slope > 0) if crossing <= until else None
