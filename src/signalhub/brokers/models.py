"""What a trade costs beside its price and the market's spread: slippage, latency, commission - each to be replaced.

A model is a function of its arguments. Where chance has a part it is drawn from Dice, a hash of (seed, order, attempt):
a retry that must decide the same, and a second worker, throw the same dice and see the same eyes. Amounts are never
negative and never rounded; who adds one to a price knows the sign and the tick.
"""

import hashlib
import re
from datetime import timedelta
from decimal import Decimal
from typing import Final, Self

import msgspec

_RESOLUTION: Final = 1_000_000
_BASIS_POINTS_PER_ONE: Final = Decimal(10_000)
_DURATION: Final = re.compile(r"(\d{1,6})(ms|s|m)", re.ASCII)
_DURATION_UNITS: Final = {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": timedelta(minutes=1)}


class SeededRandom(msgspec.Struct, frozen=True):
    """`attempt` is the order's count when the question came up: another attempt, another throw."""

    seed: str
    order_id: str
    attempt: int = 0

    def uniform(self, purpose: str) -> Decimal:
        """From 0 up to, but not, 1. Each purpose has a throw of its own."""
        said = f"{self.seed}/{self.order_id}/{self.attempt}/{purpose}".encode()
        return Decimal(int.from_bytes(hashlib.sha256(said).digest()[:8], "big") % _RESOLUTION) / _RESOLUTION


class Slippage(msgspec.Struct, frozen=True):
    """Anything up to `basis_points` of the price, against whoever trades."""

    basis_points: Decimal = Decimal(0)

    def amount(self, price: Decimal, rng: SeededRandom) -> Decimal:
        if not self.basis_points:
            return Decimal(0)
        return price * self.basis_points / _BASIS_POINTS_PER_ONE * rng.uniform("slippage")


class Latency(msgspec.Struct, frozen=True):
    """Anything from `least` to `most`."""

    minimum: timedelta = timedelta(0)
    maximum: timedelta = timedelta(0)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Of `200ms` always the same, of `50ms..2s` anything from the first to the second; None of other texts."""
        least, dots, most = text.partition("..")
        spans = [_DURATION.fullmatch(one) for one in (least, most if dots else least)]
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
