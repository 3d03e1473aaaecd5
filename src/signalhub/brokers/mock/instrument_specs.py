"""What the mock broker knows of a symbol: asset class, base price, digits, pip size, and the market made of them.

The values follow from the table of `signalhub.domain.instruments`; a symbol that is not in it has defaults.
"""

from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

import msgspec

from signalhub.brokers.mock.brownian_path import derive_path_key
from signalhub.brokers.mock.prices import Market
from signalhub.domain.instruments import CURRENCIES, INSTRUMENTS, METALS, QUOTE_CURRENCIES, Instrument
from signalhub.domain.signal import decimal_exponent

_SIGNIFICANT_DIGITS: Final = 6
_CURRENCY_CODE_LENGTH: Final = 3


class AssetClass(msgspec.Struct, frozen=True):
    """`volatility` is the standard deviation of a year's returns, `spread` a share of the price."""

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
    """A symbol as the mock trades it. Its quotes move around `base_price`."""

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
        """Build the market for an order; its tick is the instrument's or, if finer, that of the order's prices."""
        finest = min(map(decimal_exponent, prices))
        digits = self.digits if self.digits is not None else _SIGNIFICANT_DIGITS - 1 - max(prices).adjusted()
        tick = Decimal(1).scaleb(min(finest, -max(digits, 0)))
        asset_class = ASSET_CLASSES[self.asset_class]
        return Market(derive_path_key(seed, self.symbol), asset_class.volatility, asset_class.spread, tick)


@lru_cache(maxsize=1024)
def get_instrument_spec(symbol: str) -> InstrumentSpec:
    instrument = INSTRUMENTS.get(symbol)
    asset_class = classify(symbol, instrument)
    digits, base_price = None, _DEFAULT_BASE_PRICE
    if instrument is not None:
        # A coin costs anything from a millionth to a hundred thousand: only its price says how many digits it needs.
        digits = None if asset_class == "crypto" else instrument.digits
        if instrument.min_price and instrument.max_price.is_finite():
            # The geometric mean of the table's price band.
            base_price = Context(prec=_SIGNIFICANT_DIGITS).sqrt(instrument.min_price * instrument.max_price)
    has_pips = asset_class in {"forex", "metal"} and digits is not None
    return InstrumentSpec(
        symbol=symbol,
        asset_class=asset_class,
        base_price=base_price,
        digits=digits,
        pip_size=Decimal(1).scaleb(1 - digits) if has_pips and digits is not None else None,
        currency=quote_currency(symbol, asset_class),
    )


def classify(symbol: str, instrument: Instrument | None) -> str:
    """Return the name of the symbol's asset class."""
    first, second = symbol[:_CURRENCY_CODE_LENGTH], symbol[_CURRENCY_CODE_LENGTH:]
    if first in METALS and second in CURRENCIES:
        return "metal"
    if first in CURRENCIES and second in CURRENCIES:
        return "forex"
    if symbol in _ENERGY_SYMBOLS:
        return "energy"
    if instrument is None:
        return "crypto" if symbol.endswith("USDT") else "other"
    if instrument.digits == 8:  # noqa: PLR2004 - the table gives 8 digits to all coins and only to them
        return "crypto"
    return "stock" if instrument.min_price == 0 else "index"


def quote_currency(symbol: str, asset_class: str) -> str | None:
    """Return the currency of the symbol's prices, None where the symbol does not name it."""
    if asset_class in {"forex", "metal"}:
        return symbol[_CURRENCY_CODE_LENGTH:]
    if asset_class == "stock":
        return "USD"
    suffixes = [currency for currency in QUOTE_CURRENCIES if symbol.endswith(currency) and symbol != currency]
    # The longest: BTCUSDT ends in a shorter currency code, too.
    return max(suffixes, key=len) if suffixes and asset_class in {"crypto", "energy"} else None
