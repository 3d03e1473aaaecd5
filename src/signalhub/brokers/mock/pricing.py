"""The price path of an order: the path of its symbol, scaled to start at the order's own price.

So a signal with any prices has a market around it, without a price feed. The path before the fill starts where the
order type implies that the market is; the path after it starts at the fill price. Volatility, spread and digits follow
from the grammar's instrument table; a symbol that is not in it has defaults.
"""

from datetime import datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

import msgspec

from signalhub.brokers.mock.brownian_path import derive_path_key
from signalhub.brokers.mock.prices import Market, MarketClock, PricePath, anchor_price_path
from signalhub.domain.instruments import CURRENCIES, INSTRUMENTS, METALS, QUOTE_CURRENCIES, Instrument
from signalhub.domain.order import Order
from signalhub.domain.signal import OrderType, Side, Signal, decimal_exponent

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


class OrderPricePath(msgspec.Struct, frozen=True):
    """The quotes that an order meets. A BUY opens at the ask and closes at the bid, a SELL the other way round."""

    side: Side
    clock: MarketClock
    price_path: PricePath

    @property
    def tick(self) -> Decimal:
        return self.price_path.market.tick

    def opening_price(self, timestamp: datetime) -> Decimal:
        quote = self.price_path.quote(self.clock.to_market_us(timestamp))
        return quote.ask if self.side is Side.BUY else quote.bid

    def closing_price(self, timestamp: datetime) -> Decimal:
        quote = self.price_path.quote(self.clock.to_market_us(timestamp))
        return quote.bid if self.side is Side.BUY else quote.ask

    def find_entry_time(
        self, price: Decimal, period: tuple[datetime, datetime], *, from_above: bool
    ) -> datetime | None:
        """Return when the opening price first reaches `price` from above, or else from below."""
        mid_price = price / self.spread_factor(self.side.sign)
        touch = self.find_first_touch((mid_price, None) if from_above else (None, mid_price), period)
        return None if touch is None else touch[0]

    def find_exit(
        self, stop: Decimal, target: Decimal, period: tuple[datetime, datetime]
    ) -> tuple[datetime, bool] | None:
        """Return when the closing price first reaches the stop or the target, and whether it is the target."""
        is_buy, spread_factor = self.side is Side.BUY, self.spread_factor(-self.side.sign)
        band = (stop / spread_factor, target / spread_factor)
        touch = self.find_first_touch(band if is_buy else band[::-1], period)
        return None if touch is None else (touch[0], touch[1] is is_buy)

    def closing_price_range(self, period: tuple[datetime, datetime]) -> tuple[Decimal, Decimal]:
        """Return the lowest and the highest closing price, approximately."""
        lowest, highest = self.price_path.approximate_extremes(*map(self.clock.to_market_us, period))
        return (lowest.bid, highest.bid) if self.side is Side.BUY else (lowest.ask, highest.ask)

    def find_first_touch(
        self, band: tuple[Decimal | None, Decimal | None], period: tuple[datetime, datetime]
    ) -> tuple[datetime, bool] | None:
        """Return when the mid price first leaves the band, and whether at its upper edge."""
        touch = self.price_path.find_first_touch(band, *map(self.clock.to_market_us, period))
        # A faster clock rounds, and may name an instant just before the period.
        return None if touch is None else (max(self.clock.to_timestamp(touch.time_us), period[0]), touch.is_upper)

    def spread_factor(self, sign: int) -> Decimal:
        """Return what the mid price is multiplied by to get the ask (`sign` 1) or the bid (-1)."""
        return 1 + sign * self.price_path.market.spread / 2


def before_fill(order: Order, clock: MarketClock, seed: str) -> OrderPricePath:
    """Return the price path from the order's acceptance to its fill."""
    return build_price_path(order.terms, reference_mid_price(order.terms), order.created_at, clock, seed)


def after_fill(order: Order, clock: MarketClock, seed: str) -> OrderPricePath:
    """Return the price path from the fill onwards."""
    if order.fill_price is None or order.filled_at is None:
        raise ValueError(f"order {order.id} is not filled")
    spread = get_instrument_spec(order.terms.symbol).spread
    mid_price = order.fill_price / (1 + order.terms.side.sign * spread / 2)
    return build_price_path(order.terms, mid_price, order.filled_at, clock, seed)


def entry_trigger_price(terms: Signal) -> Decimal | None:
    """Return the price that an entry waits for. A range is reached at its nearer edge, from above at the higher one."""
    return terms.entry_high if terms.entry_high is not None and is_entry_below_market(terms) else terms.entry


def is_entry_below_market(terms: Signal) -> bool:
    """Tell whether the price must fall to the entry: the limit of a BUY is below the market, the stop of a SELL too."""
    return (terms.side is Side.BUY) is (terms.order_type is not OrderType.STOP)


def build_price_path(
    terms: Signal, mid_price: Decimal, start: datetime, clock: MarketClock, seed: str
) -> OrderPricePath:
    prices = (*terms.take_profits, terms.stop_loss, *([terms.entry] if terms.entry is not None else []))
    market = get_instrument_spec(terms.symbol).build_market(seed, *prices)
    return OrderPricePath(terms.side, clock, anchor_price_path(market, mid_price, clock.to_market_us(start)))


def reference_mid_price(terms: Signal) -> Decimal:
    """Return the mid price at acceptance: half a spread short of the entry, or half-way from stop loss to target."""
    level = entry_trigger_price(terms)
    if level is None:
        return (terms.stop_loss + terms.take_profits[0]) / 2
    if terms.order_type is not OrderType.STOP:
        return level
    return level * (1 - terms.side.sign * get_instrument_spec(terms.symbol).spread)
