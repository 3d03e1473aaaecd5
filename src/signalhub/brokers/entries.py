"""When a pending order is filled, and at what price."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from signalhub.brokers.profiles import MockProfile
from signalhub.brokers.trips import OrderPricePath, PlannedMove, entry_trigger_price, is_entry_below_market
from signalhub.domain.order import Executed, Expired, Order
from signalhub.domain.signal import OrderType, Signal


def plan_entry_fill(
    order: Order, profile: MockProfile, get_price_path: Callable[[], OrderPricePath], scheduled_at: datetime | None
) -> PlannedMove:
    """`appointed` is when it is filled though its price may not have come: that needs no look at the market."""
    arrival = _arrival_time(order, profile)
    at = scheduled_at or max(arrival, order.next_attempt_at or arrival)
    level = entry_trigger_price(order.terms)
    if level is None or order.terms.order_type is OrderType.MARKET:
        trip = get_price_path()
        return _plan_fill(order, at, _slip_entry_price(order, profile, trip, trip.opening_price(at)))
    if scheduled_at is not None:
        return _plan_fill(order, at, level)
    return _plan_triggered_fill(order, profile, get_price_path(), level)


def is_entry_at_market(terms: Signal, *, is_scheduled: bool) -> bool:
    """Whether the fill is at what the market then offers, and not at a price of the order's own."""
    if terms.order_type is OrderType.STOP:
        return not is_scheduled
    return entry_trigger_price(terms) is None or terms.order_type is OrderType.MARKET


def _plan_triggered_fill(
    order: Order, profile: MockProfile, price_path: OrderPricePath, trigger_price: Decimal
) -> PlannedMove:
    begin = _arrival_time(order, profile)
    until = order.expires_at or order.created_at + profile.close_after
    earliest = order.next_attempt_at or begin
    at = (
        price_path.find_entry_time(trigger_price, (begin, until), from_above=is_entry_below_market(order.terms))
        if begin <= until
        else None
    )
    if at is None:
        return PlannedMove(max(until, earliest), Expired())
    if order.terms.order_type is OrderType.STOP:
        at = max(at + profile.execution_costs.delay(order, "trigger"), earliest)
        return _plan_fill(
            order,
            at,
            _slip_entry_price(
                order, profile, price_path, _worse_entry_price(order, trigger_price, price_path.opening_price(at))
            ),
        )
    # A limit that is reached on arrival is filled at what the market then offers, which is better.
    price = _better_entry_price(order, trigger_price, price_path.opening_price(at)) if at == begin else trigger_price
    return _plan_fill(order, max(at, earliest), price)


def _arrival_time(order: Order, profile: MockProfile) -> datetime:
    return order.created_at + profile.execution_costs.delay(order, "arrival")


def _slip_entry_price(order: Order, profile: MockProfile, price_path: OrderPricePath, price: Decimal) -> Decimal:
    return profile.execution_costs.apply_slippage(order, price, tick=price_path.tick, sign=order.terms.side.sign)


def _plan_fill(order: Order, fill_time: datetime, price: Decimal) -> PlannedMove:
    return PlannedMove(fill_time, Executed(price, f"mock-{order.id}", fill_time))


def _worse_entry_price(order: Order, first: Decimal, second: Decimal) -> Decimal:
    """For whoever opens: a buyer pays more."""
    return max(first, second) if order.terms.side.sign > 0 else min(first, second)


def _better_entry_price(order: Order, first: Decimal, second: Decimal) -> Decimal:
    return min(first, second) if order.terms.side.sign > 0 else max(first, second)
