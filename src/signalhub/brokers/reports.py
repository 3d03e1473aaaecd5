"""Apply a broker's report to the order table.

Brokers repeat themselves: after a lost connection a fill is reported again, and an old one beside the close. A move
that was made already or has become impossible is ignored; a report of which no move is possible is a fault.
"""

from datetime import datetime

import msgspec

from signalhub.brokers.base import Report
from signalhub.domain.order import IllegalTransition, Move, Order, apply


class AppliedReport(msgspec.Struct, frozen=True):
    """The moves that were made, each with the order after it, and those that were ignored."""

    order: Order
    applied: tuple[tuple[Move, Order], ...] = ()
    ignored: tuple[Move, ...] = ()


def to_moves(report: Report) -> tuple[Move, ...]:
    if report is None:
        return ()
    return report if isinstance(report, tuple) else (report,)


def apply_report(order: Order, report: Report, now: datetime) -> AppliedReport:
    """Make the moves that can be made, in order. Raises IllegalTransition where there were some and none could."""
    applied: list[tuple[Move, Order]] = []
    ignored: list[Move] = []
    faults: list[IllegalTransition] = []
    for move in to_moves(report):
        try:
            order = apply(order, move, now)
            applied.append((move, order))
        except IllegalTransition as fault:
            ignored.append(move)
            faults.append(fault)
    if faults and not applied:
        raise faults[0]
    return AppliedReport(order, tuple(applied), tuple(ignored))
