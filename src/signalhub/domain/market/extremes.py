"""The lowest and the highest point of the curve between two instants: searched by bounds, or glanced at."""

from functools import lru_cache
from typing import Final

from signalhub.domain.market.path import (
    LEAF_BITS,
    LEAF_DEPTH,
    MAX_EXCURSION,
    covering_segments,
    height_at,
    insert_midpoints,
    midpoint,
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
    """The heights within a span of a block at which segments of the depth `finest` meet."""
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
