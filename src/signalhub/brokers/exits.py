"""When a filled order is closed, or a part of it, at what price, and what became of it meanwhile."""

from datetime import datetime, timedelta
from decimal import Decimal

from signalhub.brokers.markets import listing
from signalhub.brokers.profiles import Profile
from signalhub.brokers.trips import Plan, Trip
from signalhub.domain import results
from signalhub.domain.order import Closed, CloseReason, Figures, Order, PartiallyClosed
from signalhub.domain.signal import Side, Signal


def exit_(order: Order, profile: Profile, trip: Trip, close_after: timedelta | None) -> Plan:
    """By whichever comes first: the stop loss, the next take profit, the end of its time."""
    begin = _last_at(order)
    earliest = order.next_attempt_at or begin
    until = max(_filled_at(order) + (profile.close_after if close_after is None else close_after), begin)
    stop, target = order.terms.stop_loss, next_target(order)
    found = trip.closes_at(stop, target, (begin, until))
    if found is None:
        at = max(until, earliest)
        return Plan(at, Closed(at_market(order, profile, trip, at), CloseReason.TIME, at))
    touched, is_target = found
    if is_target:
        # A target that lies behind the market already is closed at what the market offers, which is better.
        price = _better(order, target, trip.closing(touched)) if touched == begin else target
        return Plan(max(touched, earliest), at_target(order, price, max(touched, earliest)))
    at = max(touched + profile.frictions.delay(order, "trigger"), earliest)
    price = _slipped(order, profile, trip, _worse(order, stop, trip.closing(at)))
    return Plan(at, Closed(price, CloseReason.STOP_LOSS, at))


def at_market(order: Order, profile: Profile, trip: Trip, at: datetime) -> Decimal:
    """What a position is closed at when nothing but the time decides."""
    return _slipped(order, profile, trip, trip.closing(at))


def forced(order: Order, outcome: CloseReason, at: datetime) -> PartiallyClosed | Closed:
    """The outcome that was asked for, whatever the market does; a take profit in as many parts as there are targets."""
    if outcome is CloseReason.TAKE_PROFIT:
        return at_target(order, next_target(order), at)
    return Closed(order.terms.stop_loss, outcome, at)


def at_target(order: Order, price: Decimal, at: datetime) -> PartiallyClosed | Closed:
    """An equal part for each target; with the last goes what is left."""
    shares, part = results.parts(order.terms.quantity, len(order.terms.take_profits)), len(order.closes) + 1
    if part >= len(shares) or not shares[0]:
        return Closed(price, CloseReason.TAKE_PROFIT, at)
    return PartiallyClosed(price, shares[part - 1], part, CloseReason.TAKE_PROFIT, at)


def next_target(order: Order) -> Decimal:
    """The nearest take profit that was not reached yet."""
    ahead = nearest_first(order.terms)
    return ahead[min(len(order.closes), len(ahead) - 1)]


def nearest_first(terms: Signal) -> list[Decimal]:
    return sorted(terms.take_profits, reverse=terms.side.sign < 0)


def figures(order: Order, profile: Profile, trip: Trip | None, move: Closed, at: datetime) -> Figures:
    """What the market did while the position was open; without a trip only where it began and ended is known."""
    fill = order.fill_price or move.price
    ends = [fill, move.price, *(part.price for part in order.closes)]
    if trip is not None:
        ends += trip.excursions((_filled_at(order), at))
    lowest, highest = fill - min(ends), max(ends) - fill
    adverse, favourable = (lowest, highest) if order.terms.side is Side.BUY else (highest, lowest)
    listed = listing(order.terms.symbol)
    return Figures(
        adverse=adverse,
        favourable=favourable,
        pip=listed.pip,
        currency=listed.currency,
        commission=profile.frictions.fee(order, move.price),
    )


def _slipped(order: Order, profile: Profile, trip: Trip, price: Decimal) -> Decimal:
    return profile.frictions.slipped(order, price, tick=trip.tick, sign=-order.terms.side.sign)


def _filled_at(order: Order) -> datetime:
    return order.filled_at or order.updated_at


def _last_at(order: Order) -> datetime:
    return order.closes[-1].at if order.closes else _filled_at(order)


def _worse(order: Order, one: Decimal, other: Decimal) -> Decimal:
    """For whoever closes: a buyer gets less."""
    return min(one, other) if order.terms.side.sign > 0 else max(one, other)


def _better(order: Order, one: Decimal, other: Decimal) -> Decimal:
    return max(one, other) if order.terms.side.sign > 0 else min(one, other)
