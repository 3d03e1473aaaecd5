"""The mock broker: the same order gets the same prices in every process and after every restart.

The fate of an order is planned from the order alone, so an open order costs nothing until it is due. Prices come from
the order's path through the simulated market; in a profile without a market they are drawn from a hash of (seed, order,
purpose), between the order's stop loss and first take profit.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import Generic, TypeVar

from msgspec.structs import replace

from signalhub.brokers.base import BrokerError
from signalhub.brokers.mock.fills import (
    compute_execution_stats,
    forced_close,
    is_entry_at_market,
    market_close_price,
    plan_entry_fill,
    plan_exit_fill,
)
from signalhub.brokers.mock.prices import MarketClock
from signalhub.brokers.mock.pricing import OrderPricePath, PlannedMove, after_fill, before_fill, entry_trigger_price
from signalhub.brokers.mock.profiles import MockProfile, build_profiles
from signalhub.brokers.options import from_options
from signalhub.domain import simulation
from signalhub.domain.order import Closed, CloseReason, Executed, Move, Order, Status
from signalhub.domain.simulation import Simulation
from signalhub.settings import BrokerSettings

_DRAW_STEPS = 10_000


class MockBroker:
    def __init__(self, settings: BrokerSettings | Mapping[str, str]) -> None:
        """Take the broker settings, or text options as any other broker does. Raises SettingsError."""
        settings = settings if isinstance(settings, BrokerSettings) else from_options(settings)
        self._seed = settings.seed
        self._profiles = build_profiles(settings)
        self._planned_move, self._path_after_fill = (
            LastCallCache(self._plan_move),
            LastCallCache(self._build_path_after_fill),
        )

    def next_due(self, order: Order) -> datetime | None:
        at = self._scheduled_time(order)
        if at is not None:
            return at
        plan = self._planned_move(order)
        return None if plan is None else plan.due_at

    async def step(self, order: Order, now: datetime) -> Move | None:
        plan = self._planned_move(order)
        if plan is None or now < plan.due_at:
            return None
        if order.status is Status.PENDING:
            _raise_forced_failure(order)
        return self._finalize_move(order, plan.move, now)

    async def close(self, order: Order, now: datetime) -> Move:
        profile, path = self._profiles[order.profile], self._path_after_fill(order)
        by_hand = f"manual {now.isoformat()}"
        price = (
            self._draw_price_between(order, by_hand, 5, 95)
            if path is None
            else market_close_price(order, profile, path, now)
        )
        return self._finalize_move(order, Closed(price, CloseReason.MANUAL, now), now)

    def _scheduled_time(self, order: Order) -> datetime | None:
        """Return when the order is due where time alone decides; None where the market does."""
        profile, forced = self._profiles[order.profile], _parse_simulation(order.simulate)
        since, wait = order.created_at, _override(forced.fill_after, profile.fill_after)
        if order.status is not Status.PENDING:
            usual = profile.close_after if forced.outcome is None else profile.forced_outcome_after
            is_open = order.status is Status.EXECUTED and (profile.market_speed is None or forced.outcome is not None)
            since, wait = (
                order.filled_at or order.updated_at,
                _override(forced.close_after, usual) if is_open else None,
            )
        if wait is None:
            return None
        return max(since + wait, order.next_attempt_at or since)

    def _plan_move(self, order: Order) -> PlannedMove | None:
        profile, forced = self._profiles[order.profile], _parse_simulation(order.simulate)
        at, clock = self._scheduled_time(order), _market_clock(profile)
        if order.status is Status.PENDING:
            if clock is None:
                return PlannedMove(at or order.created_at, Executed(self._draw_fill_price(order), f"mock-{order.id}"))
            return plan_entry_fill(order, profile, partial(before_fill, order, clock, self._seed), at)
        if order.status is not Status.EXECUTED:
            return None
        if at is not None and forced.outcome is not None:
            return PlannedMove(at, forced_close(order, forced.outcome, at))
        path = self._path_after_fill(order)
        if path is None:
            return PlannedMove(
                at or order.updated_at, Closed(self._draw_price_between(order, "close", 5, 95), CloseReason.TIME)
            )
        return plan_exit_fill(order, profile, path, forced.close_after)

    def _finalize_move(self, order: Order, move: Move, now: datetime) -> Move:
        """Complete a planned move with the figures that are computed only when it happens."""
        profile = self._profiles[order.profile]
        if isinstance(move, Executed) and profile.fill_after is not None:
            return replace(move, at=None)  # a wait is between what was seen, also where a worker came late
        if isinstance(move, Closed):
            stats = compute_execution_stats(order, profile, self._path_after_fill(order), move, move.at or now)
            return replace(move, figures=stats)
        return move

    def _build_path_after_fill(self, order: Order) -> OrderPricePath | None:
        """Return the path after the fill. Slippage must not move it: where a fill may have slipped, it goes on."""
        profile = self._profiles[order.profile]
        clock = _market_clock(profile)
        if clock is None:
            return None
        wait = _override(_parse_simulation(order.simulate).fill_after, profile.fill_after)
        has_slipped = profile.execution_costs.has_slippage and is_entry_at_market(
            order.terms, is_scheduled=wait is not None
        )
        return before_fill(order, clock, self._seed) if has_slipped else after_fill(order, clock, self._seed)

    def _draw_fill_price(self, order: Order) -> Decimal:
        level = entry_trigger_price(order.terms)
        return self._draw_price_between(order, "fill", 40, 60) if level is None else level

    def _draw_price_between(self, order: Order, purpose: str, low_percent: int, high_percent: int) -> Decimal:
        """Draw a price at `low_percent` to `high_percent` of the way from the stop loss to the first take profit."""
        stop, target = order.terms.stop_loss, order.terms.take_profits[0]
        share = (
            Decimal(low_percent) + (Decimal(high_percent) - low_percent) * self._draw_step(order, purpose) / _DRAW_STEPS
        )
        price = stop + (target - stop) * share / 100
        return price.quantize(min(stop, target, key=_exponent))

    def _draw_step(self, order: Order, purpose: str) -> int:
        digest = hashlib.sha256(f"{self._seed}/{order.id}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % _DRAW_STEPS


def _raise_forced_failure(order: Order) -> None:
    forced = _parse_simulation(order.simulate)
    if order.attempts < forced.fail:
        raise BrokerError("simulated_failure", permanent=False)
    if forced.reject is not None:
        raise BrokerError(forced.reject, permanent=True)


@lru_cache(maxsize=1024)
def _parse_simulation(text: str | None) -> Simulation:
    """Parse a simulation text that ingest accepted; any other text forces nothing."""
    parsed = simulation.parse(text)
    return parsed if isinstance(parsed, Simulation) else simulation.NO_SIMULATION


def _market_clock(profile: MockProfile) -> MarketClock | None:
    return None if profile.market_speed is None else MarketClock(profile.market_speed)


def _override(requested: timedelta | None, default: timedelta | None) -> timedelta | None:
    return default if requested is None else requested


def _exponent(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


Result = TypeVar("Result")


class LastCallCache(Generic[Result]):
    """Cache of a pure function for the order asked about last.

    An order is asked about several times in a row (when is it due, what happens, how did it go) and then never again.
    """

    def __init__(self, compute: Callable[[Order], Result]) -> None:
        self._compute = compute
        self._last: tuple[Order, Result] | None = None

    def __call__(self, order: Order) -> Result:
        last = self._last
        if last is None or last[0] is not order:
            last = self._last = order, self._compute(order)
        return last[1]
