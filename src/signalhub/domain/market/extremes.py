"""The highest and the lowest point of the curve between two instants, searched by what segments can reach."""

from functools import lru_cache

from signalhub.domain.market.path import BLOCK, DEPTH, LEAF, REACH, corner, halve, height


def highest(curve: bytes, start: int, end: int) -> int:
    """From `start` to `end`, both included."""
    return _peak(curve, start, end, 1)


def lowest(curve: bytes, start: int, end: int) -> int:
    """From `start` to `end`, both included."""
    return -_peak(curve, start, end, -1)


@lru_cache(maxsize=1024)  # candles of the past do not change
def _peak(curve: bytes, start: int, end: int, sign: int) -> int:
    """The highest point of the curve or, with a `sign` of -1, of its reflection."""
    best = max(sign * height(curve, start), sign * height(curve, end))
    for block in range(start // BLOCK, end // BLOCK + 1):
        begin = block * BLOCK
        best = _climb(curve, block, (max(start - begin, 0), min(end - begin, BLOCK)), (best, sign))
    return best


def _climb(curve: bytes, block: int, span: tuple[int, int], known: tuple[int, int]) -> int:
    """Level by level: the knots of one level show what is worth halving on the next. `known` is a peak and a sign."""
    (since, until), (best, sign) = span, known
    segments = [(0, corner(curve, block), corner(curve, block + 1))]
    for depth in range(DEPTH):
        size = LEAF + DEPTH - depth - 1
        halves: list[tuple[int, int, int]] = []
        for index, left, right in segments:
            middle = halve(curve, block, depth, index, left + right)
            knot = 2 * index + 1 << size
            if since <= knot <= until:
                best = max(best, sign * middle << LEAF)
            if knot >= since:
                halves.append((2 * index, left, middle))
            if knot <= until:
                halves.append((2 * index + 1, middle, right))
        worth = (best >> LEAF) - REACH[depth + 1]
        segments = [one for one in halves if sign * one[1] >= worth or sign * one[2] >= worth]
    return best
