"""A broker around a broker, that makes it misbehave as real ones do - and again in exactly the same way.

Every decision is thrown with the dice of (seed, order, attempt): a retry throws anew, a second worker that decides the
same attempt throws the same. An order whose outcome is forced (`#sim`) is left in peace: it was to have that one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalhub.brokers.base import Broker, BrokerError, Report
from signalhub.brokers.disturbances import Disturbance
from signalhub.brokers.models import Dice
from signalhub.brokers.reports import moves_of
from signalhub.domain.order import Closed, Executed, Move, Order, PartiallyClosed, Status

REFUSALS: Final = (
    "insufficient_margin", "market_closed", "symbol_not_tradable", "invalid_volume", "too_many_open_orders",
    "account_disabled",
)  # fmt: skip
FAILURES: Final = (
    "requote", "off_quotes", "broker_busy", "connection_reset", "rate_limited", "trade_context_busy",
)  # fmt: skip

_HANG_S: Final = 30.0

Sleep = Callable[[float], Awaitable[None]]


class ChaosBroker:
    """`sleep` is how it hangs; on a virtual clock nobody need wait for that."""

    def __init__(self, broker: Broker, disturbance: Disturbance, seed: str, *, sleep: Sleep = asyncio.sleep) -> None:
        self._broker, self._disturbance, self._seed, self._sleep = broker, disturbance, seed, sleep

    def next_due(self, order: Order) -> datetime | None:
        """Latency costs nobody a wait: what has not been reported yet is not due yet."""
        due = self._broker.next_due(order)
        if due is None or order.next_attempt_at is not None or order.simulate is not None:
            return due
        return due + self._delay(order)

    async def step(self, order: Order, now: datetime) -> Report:
        due = self.next_due(order)
        if due is None or now < due:
            return None
        if order.simulate is not None:
            return await self._broker.step(order, now)
        await self._stumble(order)
        report = await self._broker.step(order, now)
        return self._repeated(order, report) if self._happens(order, "double", self._disturbance.double) else report

    async def close(self, order: Order, now: datetime) -> Move:
        """Each wish to close is an attempt of its own: its time tells one from the next."""
        if order.simulate is None and self._happens(order, f"by hand {now.isoformat()}", self._disturbance.fail):
            raise BrokerError(self._one_of(order, FAILURES), permanent=False)
        return await self._broker.close(order, now)

    async def _stumble(self, order: Order) -> None:
        chaos = self._disturbance
        # Of the order and not of the attempt, or every further attempt would be one more chance to be refused.
        if order.status is Status.PENDING and Dice(self._seed, order.id).throw("reject") < chaos.reject:
            raise BrokerError(self._one_of(order, REFUSALS), permanent=True)
        if self._happens(order, "hang", chaos.hang):
            await self._sleep(_HANG_S)
            raise BrokerError("broker_timeout", permanent=False)
        if self._happens(order, "fail", chaos.fail):
            raise BrokerError(self._one_of(order, FAILURES), permanent=False)

    def _delay(self, order: Order) -> timedelta:
        dice, chaos = self._dice(order), self._disturbance
        delay = chaos.latency.wait(dice, f"{order.status} latency")
        return delay + chaos.late_by.wait(dice) if self._happens(order, "late", chaos.late) else delay

    def _repeated(self, order: Order, report: Report) -> Report:
        """Fills and closes twice, and the old fill once more beside the close."""
        moves = moves_of(report)
        again = tuple(move for move in moves if isinstance(move, Executed | PartiallyClosed | Closed))
        if order.fill_price is None or not moves:
            return (*moves, *again)
        return (Executed(order.fill_price, order.broker_order_id or ""), *moves, *again)

    def _happens(self, order: Order, what: str, share: Decimal) -> bool:
        return bool(share) and self._dice(order).throw(f"{order.status} {what}") < share

    def _one_of(self, order: Order, reasons: tuple[str, ...]) -> str:
        return reasons[int(self._dice(order).throw("reason") * len(reasons))]

    def _dice(self, order: Order) -> Dice:
        return Dice(self._seed, order.id, order.attempts)
