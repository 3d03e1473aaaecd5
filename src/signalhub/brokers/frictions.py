"""What stands between an order's price and its result: the models of `brokers.models`, as the broker's options ask.

Who trades at a price of his own - a limit, a take profit - gets it, and does not slip. Chance is the order's and the
attempt's: whoever asks again for the same attempt gets the same.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal, DecimalException
from typing import Final

import msgspec

from signalhub.brokers.models import Commission, Latency, SeededRandom, Slippage
from signalhub.domain.order import Order
from signalhub.settings import ENV_PREFIX, SettingsError

_MAX_BASIS_POINTS: Final = 1_000
_MAX_COMMISSION_PER_UNIT: Final = 1_000_000
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


def parse_execution_costs(options: Mapping[str, str]) -> ExecutionCosts:
    """Of `seed`, `slippage_bp`, `market_latency`, `commission_bp`, `commission_per_unit`. Raises SettingsError."""
    return ExecutionCosts(
        seed=options.get("seed", "signalhub"),
        slippage=Slippage(_parse_amount(options, "slippage_bp", _MAX_BASIS_POINTS)),
        latency=_parse_latency(options, "market_latency"),
        commission=Commission(
            per_unit=_parse_amount(options, "commission_per_unit", _MAX_COMMISSION_PER_UNIT),
            basis_points=_parse_amount(options, "commission_bp", _MAX_BASIS_POINTS),
        ),
    )


def _parse_amount(options: Mapping[str, str], name: str, maximum: int) -> Decimal:
    text = options.get(name, "0")
    with suppress(DecimalException):  # of what is no number, and of NaN, which has no place in an order
        amount = Decimal(text)
        if 0 <= amount <= maximum:
            return amount
    raise SettingsError(f"{ENV_PREFIX}{name.upper()} is {text!r}: write a number from 0 to {maximum}.")


def _parse_latency(options: Mapping[str, str], name: str) -> Latency:
    text = options.get(name, "200ms")
    latency = Latency.parse(text)
    if latency is None:
        raise SettingsError(f"{ENV_PREFIX}{name.upper()} is {text!r}: write a time such as 200ms, or 50ms..2s.")
    return latency
