"""When a filled order is closed, or a part of it, at what price, and what became of it meanwhile."""

from datetime import datetime, timedelta
from decimal import Decimal

from signalhub.brokers.markets import get_instrument_spec
from signalhub.brokers.profiles import MockProfile
from signalhub.brokers.trips import OrderPricePath, PlannedMove
from signalhub.domain import results
from signalhub.domain.order import Closed, CloseReason, ExecutionStats, Order, PartiallyClosed
from signalhub.domain.signal import Side, Signal


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
    """What a position is closed at when nothing but the time decides."""
    return _slip_exit_price(order, profile, price_path, price_path.closing_price(close_time))


def forced_close(order: Order, outcome: CloseReason, close_time: datetime) -> PartiallyClosed | Closed:
    """The outcome that was asked for, whatever the market does; a take profit in as many parts as there are targets."""
    if outcome is CloseReason.TAKE_PROFIT:
        return close_at_target(order, next_take_profit(order), close_time)
    return Closed(order.terms.stop_loss, outcome, close_time)


def close_at_target(order: Order, price: Decimal, close_time: datetime) -> PartiallyClosed | Closed:
    """An equal part for each target; with the last goes what is left."""
    shares, part = results.split_quantity(order.terms.quantity, len(order.terms.take_profits)), len(order.closes) + 1
    if part >= len(shares) or not shares[0]:
        return Closed(price, CloseReason.TAKE_PROFIT, close_time)
    return PartiallyClosed(price, shares[part - 1], part, CloseReason.TAKE_PROFIT, close_time)


def next_take_profit(order: Order) -> Decimal:
    """The nearest take profit that was not reached yet."""
    ahead = sort_take_profits(order.terms)
    return ahead[min(len(order.closes), len(ahead) - 1)]


def sort_take_profits(terms: Signal) -> list[Decimal]:
    return sorted(terms.take_profits, reverse=terms.side.sign < 0)


def compute_execution_stats(
    order: Order, profile: MockProfile, price_path: OrderPricePath | None, move: Closed, close_time: datetime
) -> ExecutionStats:
    """What the market did while the position was open; without a trip only where it began and ended is known."""
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
