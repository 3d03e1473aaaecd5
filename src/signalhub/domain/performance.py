"""Performance of a sequence of results in R multiples: profit by risk, so that all instruments can be added.

Separate because it is arithmetic on plain numbers, tested alone.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """`expectancy` is the mean result, `drawdown` the largest fall of the running sum below its maximum, from 0.

    `profit_factor` is the sum of the wins divided by that of the losses, None without a loss.
    """

    closed: int
    wins: int
    total: Decimal
    expectancy: Decimal | None
    profit_factor: Decimal | None
    drawdown: Decimal


def compute_performance(r_multiples: Iterable[Decimal]) -> Performance:
    """Compute the performance of results in the order of their closes."""
    closed = wins = 0
    won = lost = total = peak = drawdown = Decimal(0)
    for result in r_multiples:
        closed, wins, total = closed + 1, wins + (result > 0), total + result
        won, lost = won + max(result, Decimal(0)), lost - min(result, Decimal(0))
        peak = max(peak, total)
        drawdown = max(drawdown, peak - total)
    return Performance(
        closed=closed,
        wins=wins,
        total=total,
        expectancy=total / closed if closed else None,
        profit_factor=won / lost if lost else None,
        drawdown=drawdown,
    )
