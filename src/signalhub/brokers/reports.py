"""What a broker reported, put to the order table.

Brokers repeat themselves: after a lost line a fill is told again, and an old one beside the close. What has happened
already, or can no longer happen, is shrugged off; a report of which nothing at all can be true is a fault.
"""

from datetime import datetime

import msgspec

from signalhub.brokers.base import Report
from signalhub.domain.order import IllegalTransition, Move, Order, apply


class AppliedReport(msgspec.Struct, frozen=True):
    """The moves that were made, each with the order after it, and those that were shrugged off."""

    order: Order
    applied: tuple[tuple[Move, Order], ...] = ()
    ignored: tuple[Move, ...] = ()


def to_moves(report: Report) -> tuple[Move, ...]:
    if report is None:
        return ()
    return report if isinstance(report, tuple) else (report,)


def apply_report(order: Order, report: Report, now: datetime) -> AppliedReport:
    """Make the moves that can be made, in order. Raises IllegalTransition where there were some and none could."""
    made: list[tuple[Move, Order]] = []
    ignored: list[Move] = []
    faults: list[IllegalTransition] = []
    for move in to_moves(report):
        try:
            order = apply(order, move, now)
            made.append((move, order))
        except IllegalTransition as fault:
            ignored.append(move)
            faults.append(fault)
    if faults and not made:
        raise faults[0]
    return AppliedReport(order, tuple(made), tuple(ignored))
