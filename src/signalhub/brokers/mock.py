"""A broker that is a function: the same order gets the same prices in every process, after every restart.

Prices need no feed. They are drawn from a hash of (seed, order, purpose), between the order's own stop loss and first
take profit, so that a signal with today's real prices works as well as a made-up one.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from signalhub.brokers.base import BrokerError
from signalhub.brokers.profiles import profiles
from signalhub.domain import simulation
from signalhub.domain.order import Closed, CloseReason, Executed, Move, Order, Status
from signalhub.domain.signal import Side
from signalhub.domain.simulation import Simulation

_STEPS = 10_000


class MockBroker:
    def __init__(self, options: Mapping[str, str]) -> None:
        self._seed = options.get("seed", "signalhub")
        self._profiles = profiles(options)

    def next_due(self, order: Order) -> datetime | None:
        if order.next_attempt_at is not None:
            return order.next_attempt_at
        profile, forced = self._profiles[order.profile], _forced(order.simulate)
        if order.status is Status.PENDING:
            return order.created_at + _first(forced.fill_after, profile.fill_after)
        if order.status is Status.EXECUTED and order.filled_at is not None:
            return order.filled_at + _first(forced.close_after, profile.close_after)
        return None

    async def step(self, order: Order, now: datetime) -> Move | None:
        due = self.next_due(order)
        if due is None or now < due:
            return None
        return self._fill(order) if order.status is Status.PENDING else self._end(order)

    def _fill(self, order: Order) -> Move:
        forced = _forced(order.simulate)
        if order.attempts < forced.fail:
            raise BrokerError("simulated_failure", permanent=False)
        if forced.reject is not None:
            raise BrokerError(forced.reject, permanent=True)
        return Executed(self._fill_price(order), f"mock-{order.id}")

    def _end(self, order: Order) -> Move:
        match _forced(order.simulate).outcome:
            case CloseReason.TAKE_PROFIT:
                return Closed(order.terms.take_profits[0], CloseReason.TAKE_PROFIT)
            case CloseReason.STOP_LOSS:
                return Closed(order.terms.stop_loss, CloseReason.STOP_LOSS)
        return Closed(self._between(order, "close", 5, 95), CloseReason.TIME)

    async def close(self, order: Order, now: datetime) -> Move:
        return Closed(self._between(order, f"manual {now.isoformat()}", 5, 95), CloseReason.MANUAL)

    def _fill_price(self, order: Order) -> Decimal:
        terms = order.terms
        if terms.entry is None:
            return self._between(order, "fill", 40, 60)
        # A zone is reached at its nearer edge: a buyer's price falls into it, a seller's rises.
        return terms.entry_high if terms.side is Side.BUY and terms.entry_high is not None else terms.entry

    def _between(self, order: Order, purpose: str, low: int, high: int) -> Decimal:
        """A price at `low` to `high` percent of the way from the stop loss to the first take profit."""
        stop, target = order.terms.stop_loss, order.terms.take_profits[0]
        share = Decimal(low) + (Decimal(high) - low) * self._draw(order, purpose) / _STEPS
        price = stop + (target - stop) * share / 100
        return price.quantize(min(stop, target, key=_digits))

    def _draw(self, order: Order, purpose: str) -> int:
        digest = hashlib.sha256(f"{self._seed}/{order.id}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % _STEPS


@lru_cache(maxsize=1024)
def _forced(text: str | None) -> Simulation:
    """What the door let through is understood; anything else, from wherever it came, forces nothing."""
    found = simulation.parse(text)
    return found if isinstance(found, Simulation) else simulation.NOTHING


def _first(forced: timedelta | None, usual: timedelta) -> timedelta:
    return usual if forced is None else forced


def _digits(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
