"""What a trade costs beside its price: spread, slippage, latency, commission - each a small model that can be replaced.

A model is a function of its arguments. Where chance has a part it is drawn from Dice, a hash of (seed, order, attempt):
a retry that must decide the same, and a second worker, throw the same dice and see the same eyes. Amounts are never
negative and never rounded; who adds one to a price knows the sign and the tick.
"""

import hashlib
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec

_SIDES: Final = 1_000_000
_BASIS: Final = Decimal(10_000)


class Dice(msgspec.Struct, frozen=True):
    """`attempt` is the order's count when the question came up: another attempt, another throw."""

    seed: str
    order_id: str
    attempt: int = 0

    def throw(self, purpose: str) -> Decimal:
        """From 0 up to, but not, 1. Each purpose has a throw of its own."""
        said = f"{self.seed}/{self.order_id}/{self.attempt}/{purpose}".encode()
        return Decimal(int.from_bytes(hashlib.sha256(said).digest()[:8], "big") % _SIDES) / _SIDES


class Spread(msgspec.Struct, frozen=True):
    """In basis points of the middle price: a buyer pays half of it more, a seller gets half of it less."""

    basis_points: Decimal = Decimal(0)

    def half(self, middle: Decimal) -> Decimal:
        return middle * self.basis_points / _BASIS / 2


class Slippage(msgspec.Struct, frozen=True):
    """Anything up to `basis_points` of the price, against whoever trades."""

    basis_points: Decimal = Decimal(0)

    def amount(self, price: Decimal, dice: Dice) -> Decimal:
        return price * self.basis_points / _BASIS * dice.throw("slippage")


class Latency(msgspec.Struct, frozen=True):
    """Anything from `least` to `most`."""

    least: timedelta = timedelta(0)
    most: timedelta = timedelta(0)

    def wait(self, dice: Dice, purpose: str = "latency") -> timedelta:
        return self.least + (self.most - self.least) * int(dice.throw(purpose) * _SIDES) // _SIDES


class Commission(msgspec.Struct, frozen=True):
    """For each side of a trade: `per_unit` of quantity, and `basis_points` of what was traded."""

    per_unit: Decimal = Decimal(0)
    basis_points: Decimal = Decimal(0)

    def amount(self, price: Decimal, quantity: Decimal) -> Decimal:
        return self.per_unit * quantity + price * quantity * self.basis_points / _BASIS
