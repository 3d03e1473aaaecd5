"""A broker that is a function: the same order gets the same prices in every process, after every restart.

What happens to an order, and when, is planned from the order alone: so it costs nothing until it is due, and a second
worker plans the same. Prices come from the order's trip through the market (`brokers.trips`); in a profile without a
market they are drawn from a hash of (seed, order, purpose), between the order's own stop loss and first take profit.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial

from msgspec.structs import replace

from signalhub.brokers.base import BrokerError
from signalhub.brokers.entries import entry, is_at_market
from signalhub.brokers.exits import at_market, exit_, figures, forced
from signalhub.brokers.latest import Latest
from signalhub.brokers.profiles import Profile, profiles
from signalhub.brokers.trips import Plan, Trip, edge, homeward, outward
from signalhub.domain import simulation
from signalhub.domain.market.clock import Clock
from signalhub.domain.order import Closed, CloseReason, Executed, Move, Order, Status
from signalhub.domain.simulation import Simulation

_STEPS = 10_000


class MockBroker:
    def __init__(self, options: Mapping[str, str]) -> None:
        self._seed = options.get("seed", "signalhub")
        self._profiles = profiles(options)
        self._plan, self._homeward = Latest(self._find_plan), Latest(self._find_homeward)

    def next_due(self, order: Order) -> datetime | None:
        at = self._appointed(order)
        if at is not None:
            return at
        plan = self._plan(order)
        return None if plan is None else plan.at

    async def step(self, order: Order, now: datetime) -> Move | None:
        plan = self._plan(order)
        if plan is None or now < plan.at:
            return None
        if order.status is Status.PENDING:
            _fail_if_forced(order)
        return self._told(order, plan.move, now)

    async def close(self, order: Order, now: datetime) -> Move:
        profile, trip = self._profiles[order.profile], self._homeward(order)
        by_hand = f"manual {now.isoformat()}"
        price = self._between(order, by_hand, 5, 95) if trip is None else at_market(order, profile, trip, now)
        return self._told(order, Closed(price, CloseReason.MANUAL, now), now)

    def _appointed(self, order: Order) -> datetime | None:
        """When the order is due, where that is decided without a look at the market."""
        profile, wished = self._profiles[order.profile], _forced(order.simulate)
        since, wait = order.created_at, _first(wished.fill_after, profile.fill_after)
        if order.status is not Status.PENDING:
            usual = profile.close_after if wished.outcome is None else profile.forced_after
            is_open = order.status is Status.EXECUTED and (profile.speed is None or wished.outcome is not None)
            since, wait = order.filled_at or order.updated_at, _first(wished.close_after, usual) if is_open else None
        if wait is None:
            return None
        return max(since + wait, order.next_attempt_at or since)

    def _find_plan(self, order: Order) -> Plan | None:
        profile, wished = self._profiles[order.profile], _forced(order.simulate)
        at, clock = self._appointed(order), _clock(profile)
        if order.status is Status.PENDING:
            if clock is None:
                return Plan(at or order.created_at, Executed(self._drawn_fill(order), f"mock-{order.id}"))
            return entry(order, profile, partial(outward, order, clock, self._seed), at)
        if order.status is not Status.EXECUTED:
            return None
        if at is not None and wished.outcome is not None:
            return Plan(at, forced(order, wished.outcome, at))
        trip = self._homeward(order)
        if trip is None:
            return Plan(at or order.updated_at, Closed(self._between(order, "close", 5, 95), CloseReason.TIME))
        return exit_(order, profile, trip, wished.close_after)

    def _told(self, order: Order, move: Move, now: datetime) -> Move:
        """The move with what is only worked out once it happens."""
        profile = self._profiles[order.profile]
        if isinstance(move, Executed) and profile.fill_after is not None:
            return replace(move, at=None)  # a wait is between what was seen, also where a worker came late
        if isinstance(move, Closed):
            found = figures(order, profile, self._homeward(order), move, move.at or now)
            return replace(move, figures=found)
        return move

    def _find_homeward(self, order: Order) -> Trip | None:
        """What was paid too much moves no market: where a fill may have slipped, the trip goes on as it began."""
        profile = self._profiles[order.profile]
        clock = _clock(profile)
        if clock is None:
            return None
        wait = _first(_forced(order.simulate).fill_after, profile.fill_after)
        has_slipped = profile.frictions.slips and is_at_market(order.terms, is_appointed=wait is not None)
        return outward(order, clock, self._seed) if has_slipped else homeward(order, clock, self._seed)

    def _drawn_fill(self, order: Order) -> Decimal:
        level = edge(order.terms)
        return self._between(order, "fill", 40, 60) if level is None else level

    def _between(self, order: Order, purpose: str, low: int, high: int) -> Decimal:
        """A price at `low` to `high` percent of the way from the stop loss to the first take profit."""
        stop, target = order.terms.stop_loss, order.terms.take_profits[0]
        share = Decimal(low) + (Decimal(high) - low) * self._draw(order, purpose) / _STEPS
        price = stop + (target - stop) * share / 100
        return price.quantize(min(stop, target, key=_digits))

    def _draw(self, order: Order, purpose: str) -> int:
        digest = hashlib.sha256(f"{self._seed}/{order.id}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % _STEPS


def _fail_if_forced(order: Order) -> None:
    wished = _forced(order.simulate)
    if order.attempts < wished.fail:
        raise BrokerError("simulated_failure", permanent=False)
    if wished.reject is not None:
        raise BrokerError(wished.reject, permanent=True)


@lru_cache(maxsize=1024)
def _forced(text: str | None) -> Simulation:
    """What the door let through is understood; anything else, from wherever it came, forces nothing."""
    found = simulation.parse(text)
    return found if isinstance(found, Simulation) else simulation.NOTHING


def _clock(profile: Profile) -> Clock | None:
    return None if profile.speed is None else Clock(profile.speed)


def _first(wished: timedelta | None, usual: timedelta | None) -> timedelta | None:
    return usual if wished is None else wished


def _digits(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
