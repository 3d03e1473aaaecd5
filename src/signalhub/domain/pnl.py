"""What a position earned, from the price won and the quantity of each of its parts. Exact where it can be."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

PriceGains = Sequence[tuple[Decimal, Decimal]]


def gross_profit(gains: PriceGains) -> Decimal:
    return sum((won * quantity for won, quantity in gains), Decimal(0))


def net_profit(gains: PriceGains, commission: Decimal | None) -> Decimal:
    return gross_profit(gains) if commission is None else gross_profit(gains) - commission


def mean_gain(gains: PriceGains) -> Decimal:
    """Return the mean price gain over the quantity."""
    if len(gains) == 1:
        return gains[0][0]
    return gross_profit(gains) / sum((quantity for _, quantity in gains), Decimal(0))


def rounded_mean_gain(gains: PriceGains) -> Decimal:
    """Round the mean for display: of several parts, to a hundredth of a price's last digit."""
    if len(gains) == 1:
        return gains[0][0]
    return mean_gain(gains).quantize(min((won for won, _ in gains), key=_exponent).scaleb(-2), ROUND_HALF_EVEN)


def to_units(price_gain: Decimal, unit: Decimal | None, digits: int) -> Decimal | None:
    """`won` counted in `unit`; None without one."""
    return (price_gain / unit).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN) if unit else None


def split_quantity(quantity: Decimal, count: int) -> list[Decimal]:
    """`quantity` in `count` equal parts, to a ten-thousandth of its last digit; the last has what remains."""
    last_digit = Decimal(1).scaleb(min(_exponent(quantity), 0) - 4)
    part = Decimal(f"{(quantity / count).quantize(last_digit, ROUND_DOWN).normalize():f}")
    return [*[part] * (count - 1), quantity - part * (count - 1)]


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
