"""What a trade costs beside its price and the market's spread: slippage, latency, commission - each to be replaced.

A model is a function of its arguments. Where chance has a part it is drawn from Dice, a hash of (seed, order, attempt):
a retry that must decide the same, and a second worker, throw the same dice and see the same eyes. Amounts are never
negative and never rounded; who adds one to a price knows the sign and the tick.


What stands between an order's price and its result: the models of `brokers.models`, as the broker's options ask.

Who trades at a price of his own - a limit, a take profit - gets it, and does not slip. Chance is the order's and the
attempt's: whoever asks again for the same attempt gets the same.
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


_MAX_AMOUNTS: Final = {"slippage_bp": 1_000, "commission_per_unit": 1_000_000, "commission_bp": 1_000}
_NO_COMMISSION: Final = Commission()


class ExecutionCosts(msgspec.Struct, frozen=True, kw_only=True):
    """`latency` is from the wish to trade to the trade."""

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
        """What `price` becomes for who trades at the market: a buyer (`sign` 1) pays more, a seller (-1) gets less."""
        slip = self.slippage.amount(price, self._random(order)).quantize(tick, ROUND_DOWN)
        return price + sign * slip if slip else price

    def total_commission(self, order: Order, price: Decimal) -> Decimal | None:
        """For the fill and each part, where the last is closed at `price`; None where nothing is ever charged."""
        if self.commission == _NO_COMMISSION:
            return None
        closed = [(part.price, part.quantity) for part in order.closes]
        sides = [(order.fill_price or price, order.filled_quantity), *closed, (price, order.open_quantity)]
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
