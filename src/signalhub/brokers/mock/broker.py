"""The mock broker: the same order gets the same prices in every process and after every restart.

The next move of an order is planned from the order alone, so an open order costs nothing until it is due. Prices come
from the order's path through the simulated market; in a profile without a market they are drawn from a hash of (seed,
order, purpose), between the order's stop loss and first take profit.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Generic, TypeVar

from msgspec.structs import replace

from signalhub.brokers.base import BrokerError, from_options
from signalhub.brokers.mock.fills import (
    PlannedMove,
    compute_execution_stats,
    forced_close,
    is_entry_at_market,
    market_close_price,
    plan_entry_fill,
    plan_exit_fill,
)
from signalhub.brokers.mock.order_price_path import OrderPricePath, after_fill, before_fill, entry_trigger_price
from signalhub.brokers.mock.profiles import build_profiles
from signalhub.domain.exact_decimals import use_exact_decimals
from signalhub.domain.forced_outcomes import NO_SIMULATION
from signalhub.domain.order import Closed, CloseReason, Executed, Move, Order, Status
from signalhub.domain.signal import decimal_exponent
from signalhub.settings import BrokerSettings

_DRAW_STEPS = 10_000


class MockBroker:
    def __init__(self, settings: BrokerSettings | Mapping[str, str]) -> None:
        """Take the broker settings, or text options as any other broker does. Raises SettingsError."""
        settings = settings if isinstance(settings, BrokerSettings) else from_options(settings)
        self._seed = settings.seed
        self._profiles = build_profiles(settings)
        self._planned_move = LastCallCache(self._plan_move)
        self._path_after_fill = LastCallCache(self._build_path_after_fill)

    def next_due(self, order: Order) -> datetime | None:
        scheduled_at = self._scheduled_time(order)
        if scheduled_at is not None:
            return scheduled_at
        plan = self._planned_move(order)
        return None if plan is None else plan.due_at

    async def step(self, order: Order, now: datetime) -> Move | None:
        plan = self._planned_move(order)
        if plan is None or now < plan.due_at:
            return None
        if order.status is Status.PENDING and order.simulation is not None:
            if order.attempts < order.simulation.fail:
                raise BrokerError("simulated_failure", permanent=False)
            if order.simulation.reject is not None:
                raise BrokerError(order.simulation.reject, permanent=True)
        return self._finalize_move(order, plan.move, now)

    async def close(self, order: Order, now: datetime) -> Move:
        return self._finalize_move(order, Closed(self._manual_close_price(order, now), CloseReason.MANUAL, now), now)

    @use_exact_decimals
    def _manual_close_price(self, order: Order, now: datetime) -> Decimal:
        path = self._path_after_fill(order)
        if path is None:
            return self._draw_price_between(order, f"manual {now.isoformat()}", 5, 95)
        return market_close_price(order, self._profiles[order.profile], path, now)

    def _scheduled_time(self, order: Order) -> datetime | None:
        """Return when the order is due if time alone decides, None if the market does."""
        profile, forced = self._profiles[order.profile], order.simulation or NO_SIMULATION
        if order.status is Status.PENDING:
            since, wait = order.created_at, profile.fill_after if forced.fill_after is None else forced.fill_after
        elif order.status is Status.EXECUTED and (profile.clock is None or forced.outcome is not None):
            default = profile.close_after if forced.outcome is None else profile.forced_outcome_after
            since = order.filled_at or order.updated_at
            wait = default if forced.close_after is None else forced.close_after
        else:
            return None
        return None if wait is None else max(since + wait, order.next_attempt_at or since)

    @use_exact_decimals
    def _plan_move(self, order: Order) -> PlannedMove | None:
        profile, forced = self._profiles[order.profile], order.simulation or NO_SIMULATION
        scheduled_at = self._scheduled_time(order)
        if order.status is Status.PENDING:
            if profile.clock is not None:
                get_price_path = partial(before_fill, order, profile.clock, self._seed)
                return plan_entry_fill(order, profile, get_price_path, scheduled_at)
            price = entry_trigger_price(order.terms)
            if price is None:
                price = self._draw_price_between(order, "fill", 40, 60)
            return PlannedMove(scheduled_at or order.created_at, Executed(price, f"mock-{order.id}"))
        if order.status is not Status.EXECUTED:
            return None
        if scheduled_at is not None and forced.outcome is not None:
            return PlannedMove(scheduled_at, forced_close(order, forced.outcome, scheduled_at))
        path = self._path_after_fill(order)
        if path is not None:
            return plan_exit_fill(order, profile, path, forced.close_after)
        price = self._draw_price_between(order, "close", 5, 95)
        return PlannedMove(scheduled_at or order.updated_at, Closed(price, CloseReason.TIME))

    @use_exact_decimals
    def _finalize_move(self, order: Order, move: Move, now: datetime) -> Move:
        """Complete a planned move with what is computed only when it happens."""
        profile = self._profiles[order.profile]
        if isinstance(move, Executed) and profile.fill_after is not None:
            # In these profiles the order is filled when it is stepped, also when the worker is late.
            return replace(move, at=None)
        if isinstance(move, Closed):
            stats = compute_execution_stats(order, profile, self._path_after_fill(order), move, move.at or now)
            return replace(move, figures=stats)
        return move

    def _build_path_after_fill(self, order: Order) -> OrderPricePath | None:
        profile, forced = self._profiles[order.profile], order.simulation or NO_SIMULATION
        if profile.clock is None:
            return None
        is_scheduled = profile.fill_after is not None or forced.fill_after is not None
        if profile.execution_costs.has_slippage and is_entry_at_market(order.terms, is_scheduled=is_scheduled):
            # The fill price includes slippage: a path that starts from it would move the market by the slippage.
            return before_fill(order, profile.clock, self._seed)
        return after_fill(order, profile.clock, self._seed)

    def _draw_price_between(self, order: Order, purpose: str, low_percent: int, high_percent: int) -> Decimal:
        """Draw a price at `low_percent` to `high_percent` of the way from the stop loss to the first take profit."""
        stop, target = order.terms.stop_loss, order.terms.take_profits[0]
        digest = hashlib.sha256(f"{self._seed}/{order.id}/{purpose}".encode()).digest()
        draw = int.from_bytes(digest[:8], "big") % _DRAW_STEPS
        percent = Decimal(low_percent) + (Decimal(high_percent) - low_percent) * draw / _DRAW_STEPS
        price = stop + (target - stop) * percent / 100
        return price.quantize(min(stop, target, key=decimal_exponent))


Result = TypeVar("Result")


class LastCallCache(Generic[Result]):
    """Cache of a pure function for the last order asked about.

    An order is asked about several times in a row (when it is due, what happens, its excursions) and then not again.
    """

    def __init__(self, compute: Callable[[Order], Result]) -> None:
        self._compute = compute
        self._last: tuple[Order, Result] | None = None

    def __call__(self, order: Order) -> Result:
        last = self._last
        if last is None or last[0] is not order:
            last = self._last = order, self._compute(order)
        return last[1]
