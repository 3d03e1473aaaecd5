"""An order's trip through the market: its symbol's path, ridden from the order's own price.

So a signal with any prices finds a market around it, and needs no feed. Before the fill the trip begins where the
signal says the market is; with the fill it begins anew, at the fill.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from signalhub.brokers.markets import listing
from signalhub.domain.market.clock import Clock
from signalhub.domain.market.prices import Quote, Ride, anchored
from signalhub.domain.order import Move, Order
from signalhub.domain.signal import OrderType, Side, Signal


class Plan(msgspec.Struct, frozen=True):
    """What happens next to an order if nobody interferes, and when."""

    at: datetime
    move: Move


class Trip(msgspec.Struct, frozen=True):
    """An order opens at the far side of the quote, a BUY at the ask, and closes at the near one."""

    side: Side
    clock: Clock
    ride: Ride

    @property
    def tick(self) -> Decimal:
        return self.ride.market.tick

    def opening(self, at: datetime) -> Decimal:
        return self._side_of(self.ride.quote(self.clock.reading(at)), self.side is Side.BUY)

    def closing(self, at: datetime) -> Decimal:
        return self._side_of(self.ride.quote(self.clock.reading(at)), self.side is Side.SELL)

    def opens_at(self, price: Decimal, span: tuple[datetime, datetime], *, falling: bool) -> datetime | None:
        """When the opening price first comes to `price`, from above where it is `falling`."""
        level = price / self._factor(self.side.sign)
        found = self._touch((level, None) if falling else (None, level), span)
        return None if found is None else found[0]

    def closes_at(
        self, stop: Decimal, target: Decimal, span: tuple[datetime, datetime]
    ) -> tuple[datetime, bool] | None:
        """When the closing price first comes to either, and whether that is the target."""
        levels = stop / self._factor(-self.side.sign), target / self._factor(-self.side.sign)
        found = self._touch(levels if self.side is Side.BUY else levels[::-1], span)
        return None if found is None else (found[0], found[1] is (self.side is Side.BUY))

    def excursions(self, span: tuple[datetime, datetime]) -> tuple[Decimal, Decimal]:
        """The closing price at its lowest and at its highest, nearly."""
        start, end = map(self.clock.reading, span)
        lowest, highest = (self._side_of(quote, self.side is Side.SELL) for quote in self.ride.glance(start, end))
        return lowest, highest

    def _touch(
        self, band: tuple[Decimal | None, Decimal | None], span: tuple[datetime, datetime]
    ) -> tuple[datetime, bool] | None:
        start, end = map(self.clock.reading, span)
        found = self.ride.touch(band, start, end)
        return None if found is None else (max(self.clock.instant(found.at), span[0]), found.is_upper)

    def _factor(self, sign: int) -> Decimal:
        return 1 + sign * self.ride.market.spread / 2

    @staticmethod
    def _side_of(quote: Quote, is_ask: bool) -> Decimal:  # noqa: FBT001 - which of two
        return quote.ask if is_ask else quote.bid


def outward(order: Order, clock: Clock, seed: str) -> Trip:
    """From the order's acceptance to its fill."""
    return _trip(order.terms, _reference(order.terms), order.created_at, clock, seed)


def homeward(order: Order, clock: Clock, seed: str) -> Trip:
    """From the order's fill on."""
    if order.fill_price is None or order.filled_at is None:
        raise ValueError(f"order {order.id} is not filled")
    middle = order.fill_price / (1 + order.terms.side.sign * listing(order.terms.symbol).spread / 2)
    return _trip(order.terms, middle, order.filled_at, clock, seed)


def edge(terms: Signal) -> Decimal | None:
    """The price an entry waits for. A zone is reached at its nearer edge: from above it is the higher one."""
    return terms.entry_high if terms.entry_high is not None and is_falling(terms) else terms.entry


def is_falling(terms: Signal) -> bool:
    """Whether the price must fall to the entry: a buyer's limit is below the market, and a seller's stop."""
    return (terms.side is Side.BUY) is (terms.order_type is not OrderType.STOP)


def _trip(terms: Signal, middle: Decimal, at: datetime, clock: Clock, seed: str) -> Trip:
    prices = (*terms.take_profits, terms.stop_loss, *([terms.entry] if terms.entry is not None else []))
    market = listing(terms.symbol).market(seed, *prices)
    return Trip(terms.side, clock, anchored(market, middle, clock.reading(at)))


def _reference(terms: Signal) -> Decimal:
    """The middle price at the beginning: half a spread away from what the entry waits for."""
    level = edge(terms)
    if level is None:
        return (terms.stop_loss + terms.take_profits[0]) / 2
    if terms.order_type is not OrderType.STOP:
        return level
    return level * (1 - terms.side.sign * listing(terms.symbol).spread)
