"""Compare the numbers of the events that a client received with those of the log."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

import msgspec


class SequenceFaults(msgspec.Struct, frozen=True):
    missing: int
    repeated: int
    disordered: int


def compare_sequence(received: Sequence[int], expected: AbstractSet[int]) -> SequenceFaults:
    """Compare what was received, in its order, with the numbers that should have been."""
    distinct = set(received)
    return SequenceFaults(
        missing=len(expected - distinct),
        repeated=len(received) - len(distinct),
        disordered=sum(seq < previous for previous, seq in pairwise(received)),
    )
