"""The price path of an order: the path of its symbol, scaled to start at the order's own price.

So a signal with any prices has a market around it, without a price feed. The path before the fill starts where the
order type implies that the market is; the path after it starts at the fill price.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from signalhub.brokers.mock.instrument_specs import get_instrument_spec
from signalhub.brokers.mock.prices import MarketClock, PricePath, anchor_price_path
from signalhub.domain.order import Order
from signalhub.domain.signal import OrderType, Side, Signal


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
