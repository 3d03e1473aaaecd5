"""Plan the fill of a pending order and the closes of a filled one: when, at what price, with what figures."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from signalhub.brokers.mock.pricing import (
    OrderPricePath,
    PlannedMove,
    entry_trigger_price,
    get_instrument_spec,
    is_entry_below_market,
)
from signalhub.brokers.mock.profiles import MockProfile
from signalhub.domain import pnl
from signalhub.domain.order import Closed, CloseReason, Executed, ExecutionStats, Expired, Order, PartiallyClosed
from signalhub.domain.signal import OrderType, Side, Signal


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


def plan_exit_fill(
    order: Order, profile: MockProfile, price_path: OrderPricePath, close_after: timedelta | None
) -> PlannedMove:
    """By whichever comes first: the stop loss, the next take profit, the end of its time."""
    begin = _last_execution_time(order)
    earliest = order.next_attempt_at or begin
    until = max(_fill_time(order) + (profile.close_after if close_after is None else close_after), begin)
    stop, target = order.terms.stop_loss, next_take_profit(order)
    found = price_path.find_exit(stop, target, (begin, until))
    if found is None:
        at = max(until, earliest)
        return PlannedMove(at, Closed(market_close_price(order, profile, price_path, at), CloseReason.TIME, at))
    touched, is_target = found
    if is_target:
        # A target that lies behind the market already is closed at what the market offers, which is better.
        price = _better_exit_price(order, target, price_path.closing_price(touched)) if touched == begin else target
        return PlannedMove(max(touched, earliest), close_at_target(order, price, max(touched, earliest)))
    at = max(touched + profile.execution_costs.delay(order, "trigger"), earliest)
    price = _slip_exit_price(order, profile, price_path, _worse_exit_price(order, stop, price_path.closing_price(at)))
    return PlannedMove(at, Closed(price, CloseReason.STOP_LOSS, at))


def market_close_price(order: Order, profile: MockProfile, price_path: OrderPricePath, close_time: datetime) -> Decimal:
    """Return the price of a close that time alone decides."""
    return _slip_exit_price(order, profile, price_path, price_path.closing_price(close_time))


def forced_close(order: Order, outcome: CloseReason, close_time: datetime) -> PartiallyClosed | Closed:
    """Return the forced outcome, whatever the market does; a take profit closes one part for each target."""
    if outcome is CloseReason.TAKE_PROFIT:
        return close_at_target(order, next_take_profit(order), close_time)
    return Closed(order.terms.stop_loss, outcome, close_time)


def close_at_target(order: Order, price: Decimal, close_time: datetime) -> PartiallyClosed | Closed:
    """Close an equal part for each target, and all that is left with the last."""
    shares, part = pnl.split_quantity(order.terms.quantity, len(order.terms.take_profits)), len(order.closes) + 1
    if part >= len(shares) or not shares[0]:
        return Closed(price, CloseReason.TAKE_PROFIT, close_time)
    return PartiallyClosed(price, shares[part - 1], part, CloseReason.TAKE_PROFIT, close_time)


def next_take_profit(order: Order) -> Decimal:
    """Return the nearest take profit that was not reached yet."""
    ahead = sort_take_profits(order.terms)
    return ahead[min(len(order.closes), len(ahead) - 1)]


def sort_take_profits(terms: Signal) -> list[Decimal]:
    return sorted(terms.take_profits, reverse=terms.side.sign < 0)


def compute_execution_stats(
    order: Order, profile: MockProfile, price_path: OrderPricePath | None, move: Closed, close_time: datetime
) -> ExecutionStats:
    """Compute the excursions and the commission; without a price path only the prices of fill and closes count."""
    fill = order.fill_price or move.price
    ends = [fill, move.price, *(part.price for part in order.closes)]
    if price_path is not None:
        ends += price_path.closing_price_range((_fill_time(order), close_time))
    lowest, highest = fill - min(ends), max(ends) - fill
    adverse, favourable = (lowest, highest) if order.terms.side is Side.BUY else (highest, lowest)
    listed = get_instrument_spec(order.terms.symbol)
    return ExecutionStats(
        mae=adverse,
        mfe=favourable,
        pip_size=listed.pip_size,
        currency=listed.currency,
        commission=profile.execution_costs.total_commission(order, move.price),
    )


def _slip_exit_price(order: Order, profile: MockProfile, price_path: OrderPricePath, price: Decimal) -> Decimal:
    return profile.execution_costs.apply_slippage(order, price, tick=price_path.tick, sign=-order.terms.side.sign)


def _fill_time(order: Order) -> datetime:
    return order.filled_at or order.updated_at


def _last_execution_time(order: Order) -> datetime:
    return order.closes[-1].at if order.closes else _fill_time(order)


def _worse_exit_price(order: Order, first: Decimal, second: Decimal) -> Decimal:
    """For whoever closes: a buyer gets less."""
    return min(first, second) if order.terms.side.sign > 0 else max(first, second)


def _better_exit_price(order: Order, first: Decimal, second: Decimal) -> Decimal:
    return max(first, second) if order.terms.side.sign > 0 else min(first, second)
