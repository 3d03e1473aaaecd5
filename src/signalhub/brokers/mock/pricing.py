"""The mock's market of every symbol: how lively it is, what it costs, how its prices are written.

What an instrument is follows from the grammar's table; a symbol that is not in it has a market too.


An order's trip through the market: its symbol's path, ridden from the order's own price.

So a signal with any prices finds a market around it, and needs no feed. Before the fill the trip begins where the
signal says the market is; with the fill it begins anew, at the fill.
"""

from datetime import datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

import msgspec

from signalhub.brokers.mock.brownian_path import derive_path_key
from signalhub.brokers.mock.prices import Market, MarketClock, PricePath, Quote, anchor_price_path
from signalhub.domain.instruments import CURRENCIES, INSTRUMENTS, METALS, QUOTE_CURRENCIES, Instrument
from signalhub.domain.order import Move, Order
from signalhub.domain.signal import OrderType, Side, Signal

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
        """Build the market for an order, in the instrument's digits or in those of its prices where they are finer."""
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
    """Return the geometric mean of the price band in the instrument table; 100 where there is none."""
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


class PlannedMove(msgspec.Struct, frozen=True):
    """What happens next to an order if nobody interferes, and when."""

    due_at: datetime
    move: Move


class OrderPricePath(msgspec.Struct, frozen=True):
    """An order opens at the far side of the quote, a BUY at the ask, and closes at the near one."""

    side: Side
    clock: MarketClock
    price_path: PricePath

    @property
    def tick(self) -> Decimal:
        return self.price_path.market.tick

    def opening_price(self, timestamp: datetime) -> Decimal:
        return self._bid_or_ask(self.price_path.quote(self.clock.to_market_us(timestamp)), self.side is Side.BUY)

    def closing_price(self, timestamp: datetime) -> Decimal:
        return self._bid_or_ask(self.price_path.quote(self.clock.to_market_us(timestamp)), self.side is Side.SELL)

    def find_entry_time(
        self, price: Decimal, period: tuple[datetime, datetime], *, from_above: bool
    ) -> datetime | None:
        """When the opening price first comes to `price`, from above where it is `falling`."""
        level = price / self._spread_factor(self.side.sign)
        found = self._find_first_touch((level, None) if from_above else (None, level), period)
        return None if found is None else found[0]

    def find_exit(
        self, stop: Decimal, target: Decimal, period: tuple[datetime, datetime]
    ) -> tuple[datetime, bool] | None:
        """When the closing price first comes to either, and whether that is the target."""
        levels = stop / self._spread_factor(-self.side.sign), target / self._spread_factor(-self.side.sign)
        found = self._find_first_touch(levels if self.side is Side.BUY else levels[::-1], period)
        return None if found is None else (found[0], found[1] is (self.side is Side.BUY))

    def closing_price_range(self, period: tuple[datetime, datetime]) -> tuple[Decimal, Decimal]:
        """Return the lowest and the highest closing price, approximately."""
        start, end = map(self.clock.to_market_us, period)
        lowest, highest = (
            self._bid_or_ask(quote, self.side is Side.SELL)
            for quote in self.price_path.approximate_extremes(start, end)
        )
        return lowest, highest

    def _find_first_touch(
        self, band: tuple[Decimal | None, Decimal | None], period: tuple[datetime, datetime]
    ) -> tuple[datetime, bool] | None:
        start, end = map(self.clock.to_market_us, period)
        found = self.price_path.find_first_touch(band, start, end)
        return None if found is None else (max(self.clock.to_timestamp(found.time_us), period[0]), found.is_upper)

    def _spread_factor(self, sign: int) -> Decimal:
        return 1 + sign * self.price_path.market.spread / 2

    @staticmethod
    def _bid_or_ask(quote: Quote, is_ask: bool) -> Decimal:  # noqa: FBT001 - which of two
        return quote.ask if is_ask else quote.bid


def before_fill(order: Order, clock: MarketClock, seed: str) -> OrderPricePath:
    """Return the price path from the order's acceptance to its fill."""
    return _build_price_path(order.terms, _reference_mid_price(order.terms), order.created_at, clock, seed)


def after_fill(order: Order, clock: MarketClock, seed: str) -> OrderPricePath:
    """Return the price path from the fill onwards."""
    if order.fill_price is None or order.filled_at is None:
        raise ValueError(f"order {order.id} is not filled")
    middle = order.fill_price / (1 + order.terms.side.sign * get_instrument_spec(order.terms.symbol).spread / 2)
    return _build_price_path(order.terms, middle, order.filled_at, clock, seed)


def entry_trigger_price(terms: Signal) -> Decimal | None:
    """Return the price an entry waits for. A range is reached at its nearer edge: from above, the higher one."""
    return terms.entry_high if terms.entry_high is not None and is_entry_below_market(terms) else terms.entry


def is_entry_below_market(terms: Signal) -> bool:
    """Whether the price must fall to the entry: a buyer's limit is below the market, and a seller's stop."""
    return (terms.side is Side.BUY) is (terms.order_type is not OrderType.STOP)


def _build_price_path(
    terms: Signal, mid_price: Decimal, start: datetime, clock: MarketClock, seed: str
) -> OrderPricePath:
    prices = (*terms.take_profits, terms.stop_loss, *([terms.entry] if terms.entry is not None else []))
    market = get_instrument_spec(terms.symbol).build_market(seed, *prices)
    return OrderPricePath(terms.side, clock, anchor_price_path(market, mid_price, clock.to_market_us(start)))


def _reference_mid_price(terms: Signal) -> Decimal:
    """Return the mid price at the start: half a spread away from what the entry waits for."""
    level = entry_trigger_price(terms)
    if level is None:
        return (terms.stop_loss + terms.take_profits[0]) / 2
    if terms.order_type is not OrderType.STOP:
        return level
    return level * (1 - terms.side.sign * get_instrument_spec(terms.symbol).spread)
