"""The price path: Brownian motion as a pure function of (seed, symbol, time), by midpoint displacement.

Time is cut into blocks of about 407 days whose corners are drawn from a hash. Inside a block the middle of every
segment lies half-way between its ends plus a drawn displacement, down to straight leaves of 131 ms. So any instant is
reached in 28 halvings, neighbouring blocks share a corner, and MAX_EXCURSION bounds a segment before it is examined.

A height is an integer. Its variance grows by 4**37 a microsecond (YEAR_DEVIATION is the deviation of a year), as the
halvings of a Brownian bridge add up to; corners are drawn independently, so that a price stays bounded however many
years go by. Displacements are uniform and not normal: their sums are close enough, and their bounds tight.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from math import isqrt
from struct import Struct
from typing import Final

LEAF_BITS: Final = 17
"""A leaf lasts 2**LEAF_BITS microseconds. Heights are shifted by as many bits, so that a leaf divides exactly."""

LEAF_DEPTH: Final = 28
BLOCK_US: Final = 1 << (LEAF_BITS + LEAF_DEPTH)

_FRACTION_BITS: Final = 20
_YEAR_US: Final = 31_557_600 * 10**6
YEAR_DEVIATION: Final = isqrt(_YEAR_US << 2 * (_FRACTION_BITS + LEAF_BITS))

MAX_DISPLACEMENT: Final = tuple(
    isqrt(3 << (LEAF_BITS + LEAF_DEPTH - depth + 2 * _FRACTION_BITS)) >> 1 for depth in range(LEAF_DEPTH)
)
"""By depth, 0 for a block: how far the middle of a segment lies at most from half-way between its ends."""


def _max_excursion(depth: int) -> int:
    # Of two levels, the highest point is the middle with its displacement, or a quarter point with half of that and
    # its own displacement. The 1 and the 2 are for rounding.
    if depth >= LEAF_DEPTH:
        return 0
    pair = (*MAX_DISPLACEMENT[depth : depth + 2], 0)
    return max(pair[0], pair[0] // 2 + pair[1] + 1) + 2 + _max_excursion(depth + 2)


MAX_EXCURSION: Final = tuple(_max_excursion(depth) for depth in range(LEAF_DEPTH + 1))
"""By depth: how far a segment leads at most beyond its ends, with what rounding may add."""

NODES_PER_HASH: Final = 16
"""The draws of one hash: those of a segment, its halves, and theirs down to eighths. The first is not used."""

_CORNER_ROW: Final = 255
_CACHED_DEPTH: Final = 16
"""Down to this depth, segments of nine minutes, ends are cached: few enough for all orders that are open now."""

_pack_node_id = Struct("<qBI").pack
_unpack_draws = Struct("<16i").unpack


@lru_cache(maxsize=1024)
def derive_path_key(seed: str, symbol: str) -> bytes:
    """Return the key that every draw of a symbol's path is hashed with."""
    return blake2b(f"{len(seed)}/{seed}/{symbol}".encode(), digest_size=16).digest()


Segment = tuple[int, int, int, int]
"""The depth, the index among the segments of that depth in the block, and the coarse heights of both ends."""


@lru_cache(maxsize=4096)  # many orders start at one instant, and each question about an order starts at the same one
def height_at(path_key: bytes, time_us: int) -> int:
    """Return the height at `time_us`, microseconds of market time."""
    block, offset = divmod(time_us, BLOCK_US)
    index = offset >> (LEAF_BITS + LEAF_DEPTH - _CACHED_DEPTH)
    left, right = _segment_ends(path_key, block, _CACHED_DEPTH, index)
    draws, node = node_draws(path_key, block, _CACHED_DEPTH, index)
    for depth in range(_CACHED_DEPTH, LEAF_DEPTH):
        half = offset >> (LEAF_BITS + LEAF_DEPTH - 1 - depth)
        if node >= NODES_PER_HASH:
            draws, node = node_draws(path_key, block, depth, half >> 1)
        middle = ((left + right) >> 1) + (MAX_DISPLACEMENT[depth] * draws[node] >> 31)
        node = 2 * node + (half & 1)
        if half & 1:
            left = middle
        else:
            right = middle
    return (left << LEAF_BITS) + (right - left) * (offset & ((1 << LEAF_BITS) - 1))


def split_into_blocks(start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the blocks from `start` to `end`, each with its first and last offset inside the span."""
    for block in range(start // BLOCK_US, end // BLOCK_US + 1):
        block_start = block * BLOCK_US
        yield block, (max(start - block_start, 0), min(end - block_start, BLOCK_US))


def covering_segments(path_key: bytes, block: int, start_offset: int, end_offset: int) -> list[Segment]:
    """Return, in order, the one or two segments, about as long as the span, that cover a span of a block."""
    depth = min(max(LEAF_BITS + LEAF_DEPTH - (end_offset - start_offset).bit_length(), 0), _CACHED_DEPTH)
    size = LEAF_BITS + LEAF_DEPTH - depth
    indices = range(start_offset >> size, (min(end_offset, BLOCK_US - 1) >> size) + 1)
    return [(depth, index, *_segment_ends(path_key, block, depth, index)) for index in indices]


def block_start_height(path_key: bytes, block: int) -> int:
    """Return the coarse height at the start of a block."""
    return MAX_DISPLACEMENT[0] * _hash_draws(path_key, block, _CORNER_ROW, 0)[0] >> 31


def midpoint(path_key: bytes, block: int, depth: int, index: int, sum_of_ends: int) -> int:
    """Return the middle of segment `index` at `depth`, whose ends add up to `sum_of_ends`; coarse heights."""
    draws, node = node_draws(path_key, block, depth, index)
    return (sum_of_ends >> 1) + (MAX_DISPLACEMENT[depth] * draws[node] >> 31)


def insert_midpoints(path_key: bytes, block: int, depth: int, first_index: int, ends: list[int]) -> list[int]:
    """Insert the middles between the ends of consecutive segments, the first of which has index `first_index`."""
    heights, left, displacement = ends[:1], ends[0], MAX_DISPLACEMENT[depth]
    draws, node = node_draws(path_key, block, depth, first_index)
    last = 2 << (depth & 3)
    for index, right in enumerate(ends[1:], first_index):
        if node == last:
            draws, node = node_draws(path_key, block, depth, index)
        heights += ((left + right) >> 1) + (displacement * draws[node] >> 31), right
        left, node = right, node + 1
    return heights


def node_draws(path_key: bytes, block: int, depth: int, index: int) -> tuple[tuple[int, ...], int]:
    """Return the draws of the hash that holds a segment's draw, and the segment's place among them, as in a heap.

    The halves of the segment at place n are at 2n and 2n + 1; from NODES_PER_HASH on they are in hashes of their own.
    """
    below = depth & 3
    return _hash_draws(path_key, block, depth >> 2, index >> below), 1 << below | index & ((1 << below) - 1)


@lru_cache(maxsize=8192)  # the open orders share a few segments
def _segment_ends(path_key: bytes, block: int, depth: int, index: int) -> tuple[int, int]:
    if depth == 0:
        return block_start_height(path_key, block), block_start_height(path_key, block + 1)
    left, right = _segment_ends(path_key, block, depth - 1, index >> 1)
    middle = midpoint(path_key, block, depth - 1, index >> 1, left + right)
    return (middle, right) if index & 1 else (left, middle)


@lru_cache(maxsize=8192)
def _hash_draws(path_key: bytes, block: int, row: int, index: int) -> tuple[int, ...]:
    """Sixteen draws of 32 bits: one hash serves a segment, its halves, their halves and theirs, as in a heap."""
    return _unpack_draws(blake2b(_pack_node_id(block, row, index), key=path_key).digest())
