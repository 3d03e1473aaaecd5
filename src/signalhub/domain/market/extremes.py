"""The lowest and the highest point of the curve between two instants: searched by bounds, or glanced at."""

from functools import lru_cache
from typing import Final

from signalhub.domain.market.path import DEPTH, LEAF, REACH, cover, halve, halved, height, spans

_LOOKS: Final = 32


@lru_cache(maxsize=1024)  # candles of the past do not change
def extremes(curve: bytes, start: int, end: int) -> tuple[int, int]:
    """From `start` to `end`, both included."""
    ends = height(curve, start), height(curve, end)
    known = min(ends), max(ends)
    for block, span in spans(start, end):
        known = _search(curve, block, span, known)
    return known


def glance(curve: bytes, start: int, end: int) -> tuple[int, int]:
    """Nearly the extremes, for a fraction of the work: looks at least 32 times on the way, at equal distances."""
    steps = max((end - start) // _LOOKS, 1).bit_length() - 1
    finest = min(max(LEAF + DEPTH - steps, 0), DEPTH)
    seen = [height(curve, start), height(curve, end)]
    for block, span in spans(start, end):
        seen += _knots(curve, block, span, finest)
    return min(seen), max(seen)


def _knots(curve: bytes, block: int, span: tuple[int, int], finest: int) -> list[int]:
    """The heights within a span of a block at which segments of the depth `finest` meet."""
    since, until = span
    covering = cover(curve, block, since, until)
    depth, first = covering[0][:2]
    ends = [covering[0][2], *(right for _, _, _, right in covering)]
    while depth < finest:
        ends = halved(curve, block, depth, first, ends)
        depth, first = depth + 1, 2 * first
        size = LEAF + DEPTH - depth
        # Of the outermost segments those that do not lie in the span are left behind.
        most, least = (until >> size) + 1 - first, (since >> size) - first
        ends, first = ends[least : most + 1], first + least
    size = LEAF + DEPTH - depth
    least, most = -(-since >> size) - first, (until >> size) - first
    return [end << LEAF for end in ends[least : most + 1]]


def _search(curve: bytes, block: int, span: tuple[int, int], known: tuple[int, int]) -> tuple[int, int]:
    """Level by level: the knots of one level show what is worth halving on the next."""
    (since, until), (lowest, highest) = span, known
    covering = cover(curve, block, since, until)
    segments = [(index, left, right) for _, index, left, right in covering]
    if len(segments) > 1:  # what they share is a knot too
        lowest, highest = min(lowest, segments[1][1] << LEAF), max(highest, segments[1][1] << LEAF)
    for depth in range(covering[0][0], DEPTH):
        size = LEAF + DEPTH - depth - 1
        halves: list[tuple[int, int, int]] = []
        for index, left, right in segments:
            middle = halve(curve, block, depth, index, left + right)
            knot = 2 * index + 1 << size
            if since <= knot <= until:
                lowest, highest = min(lowest, middle << LEAF), max(highest, middle << LEAF)
            if knot >= since:
                halves.append((2 * index, left, middle))
            if knot <= until:
                halves.append((2 * index + 1, middle, right))
        low, high = (lowest >> LEAF) + REACH[depth + 1], (highest >> LEAF) - REACH[depth + 1]
        segments = [one for one in halves if one[1] <= low or one[2] <= low or one[1] >= high or one[2] >= high]
    return lowest, highest
