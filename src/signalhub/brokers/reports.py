"""What a broker reported, put to the order table.

Brokers repeat themselves: after a lost line a fill is told again, and an old one beside the close. What has happened
already, or can no longer happen, is shrugged off; a report of which nothing at all can be true is a fault.
"""

from datetime import datetime

import msgspec

from signalhub.brokers.base import Report
from signalhub.domain.order import Executed, IllegalTransition, Move, Order, apply


class Taken(msgspec.Struct, frozen=True):
    """The moves that were made, each with the order after it, and those that were shrugged off."""

    order: Order
    made: tuple[tuple[Move, Order], ...] = ()
    ignored: tuple[Move, ...] = ()


def moves_of(report: Report) -> tuple[Move, ...]:
    if report is None:
        return ()
    return report if isinstance(report, tuple) else (report,)


def take(order: Order, report: Report, at: datetime) -> Taken:
    """Make the moves that can be made, in order. Raises IllegalTransition where there were some and none could."""
    made: list[tuple[Move, Order]] = []
    ignored: list[Move] = []
    fault: IllegalTransition | None = None
    for move in moves_of(report):
        try:
            after = order if _is_known(order, move) else apply(order, move, at)
        except IllegalTransition as error:
            fault = fault or error
            after = order
        if after is order:
            ignored.append(move)
        else:
            order = after
            made.append((move, order))
    if ignored and not made:
        raise fault or IllegalTransition(order, order.status)
    return Taken(order, tuple(made), tuple(ignored))


def _is_known(order: Order, move: Move) -> bool:
    """A fill of an order that is filled would give it another price."""
    return isinstance(move, Executed) and order.fill_price is not None
