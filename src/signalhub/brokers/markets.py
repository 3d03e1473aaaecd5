"""The mock's market of every symbol: how lively it is, what it costs, how its prices are written.

What an instrument is follows from the grammar's table; a symbol that is not in it has a market too.
"""

from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

import msgspec

from signalhub.domain.market.path import derive_path_key
from signalhub.domain.market.prices import Market
from signalhub.grammar.instruments import CURRENCIES, INSTRUMENTS, METALS, QUOTE_CURRENCIES, Instrument

_SIGNIFICANT_DIGITS: Final = 6
_CURRENCY_CODE_LENGTH: Final = 3


class AssetClass(msgspec.Struct, frozen=True):
    """The deviation of a year's returns, and the spread as a part of the price."""

    volatility: Decimal
    spread: Decimal


ASSET_CLASSES: Final = {
    "forex": AssetClass(Decimal("0.08"), Decimal("0.00010")),
    "metal": AssetClass(Decimal("0.16"), Decimal("0.00015")),
    "index": AssetClass(Decimal("0.18"), Decimal("0.00010")),
    "energy": AssetClass(Decimal("0.35"), Decimal("0.00040")),
    "stock": AssetClass(Decimal("0.30"), Decimal("0.00020")),
    "crypto": AssetClass(Decimal("0.65"), Decimal("0.00020")),
    "other": AssetClass(Decimal("0.30"), Decimal("0.00050")),
}
_ENERGY_SYMBOLS: Final = frozenset({"USOIL", "UKOIL", "XTIUSD", "XBRUSD", "WTI", "BRENT", "NATGAS", "XNGUSD"})
_DEFAULT_BASE_PRICE: Final = Decimal(100)


class InstrumentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol as the mock trades it. `base` is the price that its own quotes swing around."""

    symbol: str
    asset_class: str
    base_price: Decimal
    digits: int | None
    pip_size: Decimal | None
    currency: str | None

    @property
    def spread(self) -> Decimal:
        return ASSET_CLASSES[self.asset_class].spread

    def build_market(self, seed: str, *prices: Decimal) -> Market:
        """The market for an order with these prices: in the instrument's digits, or in finer ones where they are."""
        finest = min(map(_exponent, prices))
        digits = self.digits if self.digits is not None else _SIGNIFICANT_DIGITS - 1 - max(prices).adjusted()
        tick = Decimal(1).scaleb(min(finest, -max(digits, 0)))
        kind = ASSET_CLASSES[self.asset_class]
        return Market(derive_path_key(seed, self.symbol), kind.volatility, kind.spread, tick)


@lru_cache(maxsize=1024)
def get_instrument_spec(symbol: str) -> InstrumentSpec:
    known = INSTRUMENTS.get(symbol)
    kind = _classify(symbol, known)
    # A coin may cost a millionth or a hundred thousand: only its price says how many digits it needs.
    digits = known.digits if known is not None and kind != "crypto" else None
    has_pips = kind in {"forex", "metal"} and digits is not None
    return InstrumentSpec(
        symbol=symbol,
        asset_class=kind,
        base_price=_base_price(known),
        digits=digits,
        pip_size=Decimal(1).scaleb(1 - digits) if has_pips and digits is not None else None,
        currency=_quote_currency(symbol, kind),
    )


def _classify(symbol: str, instrument: Instrument | None) -> str:
    first, second = symbol[:_CURRENCY_CODE_LENGTH], symbol[_CURRENCY_CODE_LENGTH:]
    if first in METALS and second in CURRENCIES:
        return "metal"
    if first in CURRENCIES and second in CURRENCIES:
        return "forex"
    if symbol in _ENERGY_SYMBOLS:
        return "energy"
    if instrument is None:
        return "crypto" if symbol.endswith("USDT") else "other"
    if instrument.digits == 8:  # noqa: PLR2004 - the table writes all coins so
        return "crypto"
    return "stock" if instrument.min_price == 0 else "index"


def _base_price(instrument: Instrument | None) -> Decimal:
    """The middle of the band that the table gives it, as ratios go; 100 where it gives none."""
    if instrument is None or not instrument.min_price or not instrument.max_price.is_finite():
        return _DEFAULT_BASE_PRICE
    return Context(prec=_SIGNIFICANT_DIGITS).sqrt(instrument.min_price * instrument.max_price)


def _quote_currency(symbol: str, asset_class: str) -> str | None:
    if asset_class in {"forex", "metal"}:
        return symbol[_CURRENCY_CODE_LENGTH:]
    if asset_class == "stock":
        return "USD"
    ends = [quote for quote in QUOTE_CURRENCIES if symbol.endswith(quote) and symbol != quote]
    return max(ends, key=len) if ends and asset_class in {"crypto", "energy"} else None


def _exponent(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
