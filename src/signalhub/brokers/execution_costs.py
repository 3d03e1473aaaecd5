"""Slippage, latency and commission: the costs of a trade beside its price and the market's spread.

Each model is a function of its arguments. Chance comes from SeededRandom, a hash of (seed, order, attempt), so that a
retry of the same attempt and a second worker draw the same. Amounts are never negative and never rounded; the caller
knows the sign and the tick. A limit or a take profit trades at its own price and does not slip.
"""

import hashlib
import re
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Final, Self

import msgspec

from signalhub.domain.order import Order
from signalhub.settings import ENV_PREFIX, BrokerSettings, SettingsError

_RESOLUTION: Final = 1_000_000
_BASIS_POINTS_PER_ONE: Final = Decimal(10_000)
_DURATION: Final = re.compile(r"(\d{1,6})(ms|s|m)", re.ASCII)
_DURATION_UNITS: Final = {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": timedelta(minutes=1)}


class SeededRandom(msgspec.Struct, frozen=True):
    """Reproducible random numbers of an order's attempt."""

    seed: str
    order_id: str
    attempt: int = 0

    def uniform(self, purpose: str) -> Decimal:
        """Draw from 0 up to, but not including, 1. Each purpose has its own draw."""
        message = f"{self.seed}/{self.order_id}/{self.attempt}/{purpose}".encode()
        return Decimal(int.from_bytes(hashlib.sha256(message).digest()[:8], "big") % _RESOLUTION) / _RESOLUTION


class Slippage(msgspec.Struct, frozen=True):
    """Up to `basis_points` of the price, against the trader."""

    basis_points: Decimal = Decimal(0)

    def amount(self, price: Decimal, rng: SeededRandom) -> Decimal:
        if not self.basis_points:
            return Decimal(0)
        return price * self.basis_points / _BASIS_POINTS_PER_ONE * rng.uniform("slippage")


class Latency(msgspec.Struct, frozen=True):
    """A random delay from `minimum` to `maximum`."""

    minimum: timedelta = timedelta(0)
    maximum: timedelta = timedelta(0)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a fixed delay such as `200ms` or a range such as `50ms..2s`; None for any other text."""
        shortest, dots, longest = text.partition("..")
        spans = [_DURATION.fullmatch(span) for span in (shortest, longest if dots else shortest)]
        times = [int(match[1]) * _DURATION_UNITS[match[2]] for match in spans if match is not None]
        return cls(times[0], times[1]) if len(times) == len(spans) and times[0] <= times[1] else None

    def sample(self, rng: SeededRandom, purpose: str = "latency") -> timedelta:
        if self.minimum == self.maximum:
            return self.minimum
        return self.minimum + (self.maximum - self.minimum) * int(rng.uniform(purpose) * _RESOLUTION) // _RESOLUTION


class Commission(msgspec.Struct, frozen=True):
    """For each side of a trade: `per_unit` of quantity, and `basis_points` of what was traded."""

    per_unit: Decimal = Decimal(0)
    basis_points: Decimal = Decimal(0)

    def amount(self, price: Decimal, quantity: Decimal) -> Decimal:
        return self.per_unit * quantity + price * quantity * self.basis_points / _BASIS_POINTS_PER_ONE


_MAX_AMOUNTS: Final = {"slippage_bp": 1_000, "commission_per_unit": 1_000_000, "commission_bp": 1_000}
_NO_COMMISSION: Final = Commission()


class ExecutionCosts(msgspec.Struct, frozen=True, kw_only=True):
    """The models of one broker. `latency` is the time from the decision to trade to the trade."""

    seed: str
    slippage: Slippage = Slippage()
    latency: Latency = Latency()
    commission: Commission = Commission()

    @property
    def has_slippage(self) -> bool:
        return bool(self.slippage.basis_points)

    def delay(self, order: Order, purpose: str) -> timedelta:
        return self.latency.sample(self._random(order), purpose)

    def apply_slippage(self, order: Order, price: Decimal, *, tick: Decimal, sign: int) -> Decimal:
        """Return `price` after slippage at the market: a buyer (`sign` 1) pays more, a seller (-1) gets less."""
        slip = self.slippage.amount(price, self._random(order)).quantize(tick, ROUND_DOWN)
        return price + sign * slip if slip else price

    def total_commission(self, order: Order, price: Decimal) -> Decimal | None:
        """Sum the commission of the fill and each part, the last closed at `price`; None where none is configured."""
        if self.commission == _NO_COMMISSION:
            return None
        closed = [(part.price, part.quantity) for part in order.closes]
        sides = [(order.fill_price or price, order.filled_quantity), *closed, (price, order.remaining_quantity)]
        return sum((self.commission.amount(*side) for side in sides), Decimal(0))

    def _random(self, order: Order) -> SeededRandom:
        return SeededRandom(self.seed, order.id, order.attempts)


def build_execution_costs(settings: BrokerSettings) -> ExecutionCosts:
    """Build the models that the settings ask for. Raises SettingsError for an amount or a latency out of range."""
    latency = Latency.parse(settings.market_latency)
    if latency is None:
        raise SettingsError(
            f"{ENV_PREFIX}MARKET_LATENCY is {settings.market_latency!r}: write a time such as 200ms, or 50ms..2s."
        )
    for name, maximum in _MAX_AMOUNTS.items():
        amount: Decimal = getattr(settings, name)
        if not amount.is_finite() or not 0 <= amount <= maximum:
            raise SettingsError(f"{ENV_PREFIX}{name.upper()} is '{amount}': write a number from 0 to {maximum}.")
    return ExecutionCosts(
        seed=settings.seed,
        slippage=Slippage(settings.slippage_bp),
        latency=latency,
        commission=Commission(per_unit=settings.commission_per_unit, basis_points=settings.commission_bp),
    )
