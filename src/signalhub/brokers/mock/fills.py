"""Plan the fill of a pending order and the closes of a filled one: when and at what price."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from signalhub.brokers.mock.instrument_specs import get_instrument_spec
from signalhub.brokers.mock.order_price_path import OrderPricePath, entry_trigger_price, is_entry_below_market
from signalhub.brokers.mock.profiles import MockProfile
from signalhub.domain.order import (
    Closed,
    CloseReason,
    Executed,
    ExecutionStats,
    Expired,
    Move,
    Order,
    PartiallyClosed,
    split_quantity,
)
from signalhub.domain.signal import OrderType, Side, Signal


class PlannedMove(msgspec.Struct, frozen=True):
    """The next move of an order if nobody interferes, and when it is due."""

    due_at: datetime
    move: Move


def plan_entry_fill(
    order: Order, profile: MockProfile, get_price_path: Callable[[], OrderPricePath], scheduled_at: datetime | None
) -> PlannedMove:
    """Plan the fill of a pending order.

    At `scheduled_at` it is filled even if its price has not come: then an entry with a price needs no price path, and
    none is built.
    """
    arrival = arrival_time(order, profile)
    trigger_price = entry_trigger_price(order.terms)
    if trigger_price is None or order.terms.order_type is OrderType.MARKET:
        fill_at, path = scheduled_at or max(arrival, order.next_attempt_at or arrival), get_price_path()
        price = apply_slippage(order, profile, path, path.opening_price(fill_at), sign=order.terms.side.sign)
        return fill(order, fill_at, price)
    if scheduled_at is not None:
        return fill(order, scheduled_at, trigger_price)
    return plan_triggered_fill(order, profile, get_price_path(), trigger_price)


def is_entry_at_market(terms: Signal, *, is_scheduled: bool) -> bool:
    """Tell whether the fill is at the market's price then and not at a price that the order names."""
    if terms.order_type is OrderType.STOP:
        return not is_scheduled
    return entry_trigger_price(terms) is None or terms.order_type is OrderType.MARKET


def plan_triggered_fill(
    order: Order, profile: MockProfile, price_path: OrderPricePath, trigger_price: Decimal
) -> PlannedMove:
    """Plan the fill of a limit or a stop entry when its price comes, or else its expiry."""
    sign, arrival = order.terms.side.sign, arrival_time(order, profile)
    expires_at = order.expires_at or order.created_at + profile.close_after
    earliest = order.next_attempt_at or arrival
    touched_at = None
    if arrival <= expires_at:
        is_below = is_entry_below_market(order.terms)
        touched_at = price_path.find_entry_time(trigger_price, (arrival, expires_at), from_above=is_below)
    if touched_at is None:
        return PlannedMove(max(expires_at, earliest), Expired())
    if order.terms.order_type is OrderType.STOP:
        fill_at = max(touched_at + profile.execution_costs.delay(order, "trigger"), earliest)
        price = worse_price(sign, trigger_price, price_path.opening_price(fill_at))
        return fill(order, fill_at, apply_slippage(order, profile, price_path, price, sign=sign))
    fill_at = max(touched_at, earliest)
    if touched_at > arrival:
        return fill(order, fill_at, trigger_price)
    # The market was beyond the limit on arrival: its price is the better one.
    return fill(order, fill_at, worse_price(-sign, trigger_price, price_path.opening_price(touched_at)))


def fill(order: Order, fill_time: datetime, price: Decimal) -> PlannedMove:
    return PlannedMove(fill_time, Executed(price, f"mock-{order.id}", fill_time))


def arrival_time(order: Order, profile: MockProfile) -> datetime:
    return order.created_at + profile.execution_costs.delay(order, "arrival")


def apply_slippage(
    order: Order, profile: MockProfile, price_path: OrderPricePath, price: Decimal, *, sign: int
) -> Decimal:
    """Return the price after slippage for a trade that buys (`sign` 1) or sells (-1)."""
    return profile.execution_costs.apply_slippage(order, price, tick=price_path.tick, sign=sign)


def worse_price(sign: int, first: Decimal, second: Decimal) -> Decimal:
    """Return the price that is worse for a trade that buys (`sign` 1) or sells (-1); with -`sign`, the better one."""
    return max(first, second) if sign > 0 else min(first, second)


def plan_exit_fill(
    order: Order, profile: MockProfile, price_path: OrderPricePath, close_after: timedelta | None
) -> PlannedMove:
    """Plan the next close: by the stop loss, the next take profit or time, whichever comes first."""
    filled_at, exit_sign = order.filled_at or order.updated_at, -order.terms.side.sign
    start = order.closes[-1].at if order.closes else filled_at
    earliest = order.next_attempt_at or start
    end = max(filled_at + (profile.close_after if close_after is None else close_after), start)
    stop, target = order.terms.stop_loss, next_take_profit(order)
    touch = price_path.find_exit(stop, target, (start, end))
    if touch is None:
        close_at = max(end, earliest)
        price = market_close_price(order, profile, price_path, close_at)
        return PlannedMove(close_at, Closed(price, CloseReason.TIME, close_at))
    touched_at, is_target = touch
    if is_target:
        close_at = max(touched_at, earliest)
        # The market was beyond the target at the start: its price is the better one.
        is_passed = touched_at == start
        price = worse_price(-exit_sign, target, price_path.closing_price(touched_at)) if is_passed else target
        return PlannedMove(close_at, close_at_target(order, price, close_at))
    close_at = max(touched_at + profile.execution_costs.delay(order, "trigger"), earliest)
    price = worse_price(exit_sign, stop, price_path.closing_price(close_at))
    price = apply_slippage(order, profile, price_path, price, sign=exit_sign)
    return PlannedMove(close_at, Closed(price, CloseReason.STOP_LOSS, close_at))


def market_close_price(order: Order, profile: MockProfile, price_path: OrderPricePath, close_time: datetime) -> Decimal:
    """Return the price of a close by time or by hand."""
    price = price_path.closing_price(close_time)
    return apply_slippage(order, profile, price_path, price, sign=-order.terms.side.sign)


def forced_close(order: Order, outcome: CloseReason, close_time: datetime) -> PartiallyClosed | Closed:
    """Return the forced outcome, whatever the market does; a take profit closes one part for each target."""
    if outcome is CloseReason.TAKE_PROFIT:
        return close_at_target(order, next_take_profit(order), close_time)
    return Closed(order.terms.stop_loss, outcome, close_time)


def close_at_target(order: Order, price: Decimal, close_time: datetime) -> PartiallyClosed | Closed:
    """Close an equal part for each target, and all of the open quantity with the last."""
    parts = split_quantity(order.terms.quantity, len(order.terms.take_profits))
    part = len(order.closes) + 1
    # A quantity too small to split has parts of 0: the first target closes all of it.
    if part >= len(parts) or not parts[0]:
        return Closed(price, CloseReason.TAKE_PROFIT, close_time)
    return PartiallyClosed(price, parts[part - 1], part, CloseReason.TAKE_PROFIT, close_time)


def next_take_profit(order: Order) -> Decimal:
    """Return the nearest take profit that has not been reached."""
    nearest_first = sorted(order.terms.take_profits, reverse=order.terms.side is Side.SELL)
    return nearest_first[min(len(order.closes), len(nearest_first) - 1)]


def compute_execution_stats(
    order: Order, profile: MockProfile, price_path: OrderPricePath | None, move: Closed, close_time: datetime
) -> ExecutionStats:
    """Compute the excursions and the commission; without a price path only the prices of fill and closes count."""
    fill_price = order.fill_price or move.price
    prices = [fill_price, move.price, *(part.price for part in order.closes)]
    if price_path is not None:
        prices += price_path.closing_price_range((order.filled_at or order.updated_at, close_time))
    fall, rise = fill_price - min(prices), max(prices) - fill_price
    instrument = get_instrument_spec(order.terms.symbol)
    is_buy = order.terms.side is Side.BUY
    return ExecutionStats(
        mae=fall if is_buy else rise,
        mfe=rise if is_buy else fall,
        pip_size=instrument.pip_size,
        currency=instrument.currency,
        commission=profile.execution_costs.total_commission(order, move.price),
    )
