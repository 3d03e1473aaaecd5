"""An order's trip through the market: its symbol's path, ridden from the order's own price.

So a signal with any prices finds a market around it, and needs no feed. Before the fill the trip begins where the
signal says the market is; with the fill it begins anew, at the fill.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from signalhub.brokers.markets import get_instrument_spec
from signalhub.domain.market.clock import MarketClock
from signalhub.domain.market.prices import PricePath, Quote, anchor_price_path
from signalhub.domain.order import Move, Order
from signalhub.domain.signal import OrderType, Side, Signal


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
        """The closing price at its lowest and at its highest, nearly."""
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
    """From the order's acceptance to its fill."""
    return _build_price_path(order.terms, _reference_mid_price(order.terms), order.created_at, clock, seed)


def after_fill(order: Order, clock: MarketClock, seed: str) -> OrderPricePath:
    """From the order's fill on."""
    if order.fill_price is None or order.filled_at is None:
        raise ValueError(f"order {order.id} is not filled")
    middle = order.fill_price / (1 + order.terms.side.sign * get_instrument_spec(order.terms.symbol).spread / 2)
    return _build_price_path(order.terms, middle, order.filled_at, clock, seed)


def entry_trigger_price(terms: Signal) -> Decimal | None:
    """The price an entry waits for. A zone is reached at its nearer edge: from above it is the higher one."""
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
    """The middle price at the beginning: half a spread away from what the entry waits for."""
    level = entry_trigger_price(terms)
    if level is None:
        return (terms.stop_loss + terms.take_profits[0]) / 2
    if terms.order_type is not OrderType.STOP:
        return level
    return level * (1 - terms.side.sign * get_instrument_spec(terms.symbol).spread)
