"""Deprecated: the former names of `signalhub.brokers.execution_costs`, with their former arguments."""

import warnings
from datetime import timedelta
from decimal import Decimal
from typing import Self

import msgspec

from signalhub.brokers import execution_costs
from signalhub.brokers.execution_costs import Commission, SeededRandom

__all__ = ["Commission", "Dice", "Latency", "Slippage"]

warnings.warn("signalhub.brokers.models is now signalhub.brokers.execution_costs", DeprecationWarning, stacklevel=2)


class Dice(SeededRandom, frozen=True):
    """SeededRandom with the former name of its method."""

    def throw(self, purpose: str) -> Decimal:
        return self.uniform(purpose)


class Slippage(msgspec.Struct, frozen=True):
    basis_points: Decimal = Decimal(0)

    def amount(self, price: Decimal, dice: Dice) -> Decimal:
        return execution_costs.Slippage(self.basis_points).amount(price, dice)


class Latency(msgspec.Struct, frozen=True):
    least: timedelta = timedelta(0)
    most: timedelta = timedelta(0)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        latency = execution_costs.Latency.parse(text)
        return None if latency is None else cls(latency.minimum, latency.maximum)

    def wait(self, dice: Dice, purpose: str = "latency") -> timedelta:
        return execution_costs.Latency(self.least, self.most).sample(dice, purpose)
