"""The mock's market of every symbol: how lively it is, what it costs, how its prices are written.

What an instrument is follows from the grammar's table; a symbol that is not in it has a market too.
"""

from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

import msgspec

from signalhub.domain.market.path import key
from signalhub.domain.market.prices import Market
from signalhub.grammar.instruments import CURRENCIES, INSTRUMENTS, METALS, QUOTES, Instrument

_SIGNIFICANT: Final = 6
_CODE: Final = 3


class Kind(msgspec.Struct, frozen=True):
    """The deviation of a year's returns, and the spread as a part of the price."""

    volatility: Decimal
    spread: Decimal


KINDS: Final = {
    "forex": Kind(Decimal("0.08"), Decimal("0.00010")),
    "metal": Kind(Decimal("0.16"), Decimal("0.00015")),
    "index": Kind(Decimal("0.18"), Decimal("0.00010")),
    "energy": Kind(Decimal("0.35"), Decimal("0.00040")),
    "stock": Kind(Decimal("0.30"), Decimal("0.00020")),
    "crypto": Kind(Decimal("0.65"), Decimal("0.00020")),
    "other": Kind(Decimal("0.30"), Decimal("0.00050")),
}
_ENERGY: Final = frozenset({"USOIL", "UKOIL", "XTIUSD", "XBRUSD", "WTI", "BRENT", "NATGAS", "XNGUSD"})
_HUNDRED: Final = Decimal(100)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol as the mock trades it. `base` is the price that its own quotes swing around."""

    symbol: str
    kind: str
    base: Decimal
    digits: int | None
    pip: Decimal | None
    currency: str | None

    @property
    def spread(self) -> Decimal:
        return KINDS[self.kind].spread

    def market(self, seed: str, *prices: Decimal) -> Market:
        """The market for an order with these prices: in the instrument's digits, or in finer ones where they are."""
        finest = min(map(_exponent, prices))
        digits = self.digits if self.digits is not None else _SIGNIFICANT - 1 - max(prices).adjusted()
        tick = Decimal(1).scaleb(min(finest, -max(digits, 0)))
        kind = KINDS[self.kind]
        return Market(key(seed, self.symbol), kind.volatility, kind.spread, tick)


@lru_cache(maxsize=1024)
def listing(symbol: str) -> Listing:
    known = INSTRUMENTS.get(symbol)
    kind = _kind(symbol, known)
    # A coin may cost a millionth or a hundred thousand: only its price says how many digits it needs.
    digits = known.digits if known is not None and kind != "crypto" else None
    has_pips = kind in {"forex", "metal"} and digits is not None
    return Listing(
        symbol=symbol,
        kind=kind,
        base=_base(known),
        digits=digits,
        pip=Decimal(1).scaleb(1 - digits) if has_pips and digits is not None else None,
        currency=_currency(symbol, kind),
    )


def _kind(symbol: str, known: Instrument | None) -> str:
    first, second = symbol[:_CODE], symbol[_CODE:]
    if first in METALS and second in CURRENCIES:
        return "metal"
    if first in CURRENCIES and second in CURRENCIES:
        return "forex"
    if symbol in _ENERGY:
        return "energy"
    if known is None:
        return "crypto" if symbol.endswith("USDT") else "other"
    if known.digits == 8:  # noqa: PLR2004 - the table writes all coins so
        return "crypto"
    return "stock" if known.low == 0 else "index"


def _base(known: Instrument | None) -> Decimal:
    """The middle of the band that the table gives it, as ratios go; 100 where it gives none."""
    if known is None or not known.low or not known.high.is_finite():
        return _HUNDRED
    return Context(prec=_SIGNIFICANT).sqrt(known.low * known.high)


def _currency(symbol: str, kind: str) -> str | None:
    if kind in {"forex", "metal"}:
        return symbol[_CODE:]
    if kind == "stock":
        return "USD"
    ends = [quote for quote in QUOTES if symbol.endswith(quote) and symbol != quote]
    return max(ends, key=len) if ends and kind in {"crypto", "energy"} else None


def _exponent(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
