"""When a pending order is filled, and at what price."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from signalhub.brokers.profiles import Profile
from signalhub.brokers.trips import Plan, Trip, edge, is_falling
from signalhub.domain.order import Executed, Expired, Order
from signalhub.domain.signal import OrderType, Signal


def entry(order: Order, profile: Profile, find_trip: Callable[[], Trip], appointed: datetime | None) -> Plan:
    """`appointed` is when it is filled though its price may not have come: that needs no look at the market."""
    arrival = _arrival(order, profile)
    at = appointed or max(arrival, order.next_attempt_at or arrival)
    level = edge(order.terms)
    if level is None or order.terms.order_type is OrderType.MARKET:
        trip = find_trip()
        return _filled(order, at, _slipped(order, profile, trip, trip.opening(at)))
    if appointed is not None:
        return _filled(order, at, level)
    return _waiting(order, profile, find_trip(), level)


def is_at_market(terms: Signal, *, is_appointed: bool) -> bool:
    """Whether the fill is at what the market then offers, and not at a price of the order's own."""
    if terms.order_type is OrderType.STOP:
        return not is_appointed
    return edge(terms) is None or terms.order_type is OrderType.MARKET


def _waiting(order: Order, profile: Profile, trip: Trip, level: Decimal) -> Plan:
    begin = _arrival(order, profile)
    until = order.expires_at or order.created_at + profile.close_after
    earliest = order.next_attempt_at or begin
    at = trip.opens_at(level, (begin, until), falling=is_falling(order.terms)) if begin <= until else None
    if at is None:
        return Plan(max(until, earliest), Expired())
    if order.terms.order_type is OrderType.STOP:
        at = max(at + profile.frictions.delay(order, "trigger"), earliest)
        return _filled(order, at, _slipped(order, profile, trip, _worse(order, level, trip.opening(at))))
    # A limit that is reached on arrival is filled at what the market then offers, which is better.
    price = _better(order, level, trip.opening(at)) if at == begin else level
    return _filled(order, max(at, earliest), price)


def _arrival(order: Order, profile: Profile) -> datetime:
    return order.created_at + profile.frictions.delay(order, "arrival")


def _slipped(order: Order, profile: Profile, trip: Trip, price: Decimal) -> Decimal:
    return profile.frictions.slipped(order, price, tick=trip.tick, sign=order.terms.side.sign)


def _filled(order: Order, at: datetime, price: Decimal) -> Plan:
    return Plan(at, Executed(price, f"mock-{order.id}", at))


def _worse(order: Order, one: Decimal, other: Decimal) -> Decimal:
    """For whoever opens: a buyer pays more."""
    return max(one, other) if order.terms.side.sign > 0 else min(one, other)


def _better(order: Order, one: Decimal, other: Decimal) -> Decimal:
    return min(one, other) if order.terms.side.sign > 0 else max(one, other)
