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
from signalhub.brokers.disturbances import ChaosProfile
from signalhub.brokers.models import SeededRandom
from signalhub.brokers.reports import to_moves
from signalhub.domain.order import Closed, Executed, Move, Order, PartiallyClosed, Status

REJECTION_REASONS: Final = (
    "insufficient_margin", "market_closed", "symbol_not_tradable", "invalid_volume", "too_many_open_orders",
    "account_disabled",
)  # fmt: skip
FAILURE_REASONS: Final = (
    "requote", "off_quotes", "broker_busy", "connection_reset", "rate_limited", "trade_context_busy",
)  # fmt: skip

_HANG_S: Final = 30.0

Sleep = Callable[[float], Awaitable[None]]


class ChaosBroker:
    """`sleep` is how it hangs; on a virtual clock nobody need wait for that."""

    def __init__(self, broker: Broker, profile: ChaosProfile, seed: str, *, sleep: Sleep = asyncio.sleep) -> None:
        self._broker, self._profile, self._seed, self._sleep = broker, profile, seed, sleep

    def next_due(self, order: Order) -> datetime | None:
        """Latency costs nobody a wait: what has not been reported yet is not due yet."""
        due = self._broker.next_due(order)
        if due is None or order.next_attempt_at is not None or order.simulate is not None:
            return due
        return due + self._report_delay(order)

    async def step(self, order: Order, now: datetime) -> Report:
        due = self.next_due(order)
        if due is None or now < due:
            return None
        if order.simulate is not None:
            return await self._broker.step(order, now)
        await self._raise_injected_failure(order)
        report = await self._broker.step(order, now)
        return self._duplicate_report(order, report) if self._occurs(order, "double", self._profile.double) else report

    async def close(self, order: Order, now: datetime) -> Move:
        """Each wish to close is an attempt of its own: its time tells one from the next."""
        if order.simulate is None and self._occurs(order, f"by hand {now.isoformat()}", self._profile.fail):
            raise BrokerError(self._pick_reason(order, FAILURE_REASONS), permanent=False)
        return await self._broker.close(order, now)

    async def _raise_injected_failure(self, order: Order) -> None:
        chaos = self._profile
        # Of the order and not of the attempt, or every further attempt would be one more chance to be refused.
        if order.status is Status.PENDING and SeededRandom(self._seed, order.id).uniform("reject") < chaos.reject:
            raise BrokerError(self._pick_reason(order, REJECTION_REASONS), permanent=True)
        if self._occurs(order, "hang", chaos.hang):
            await self._sleep(_HANG_S)
            raise BrokerError("broker_timeout", permanent=False)
        if self._occurs(order, "fail", chaos.fail):
            raise BrokerError(self._pick_reason(order, FAILURE_REASONS), permanent=False)

    def _report_delay(self, order: Order) -> timedelta:
        dice, chaos = self._random(order), self._profile
        delay = chaos.latency.sample(dice, f"{order.status} latency")
        return delay + chaos.late_by.sample(dice) if self._occurs(order, "late", chaos.late) else delay

    def _duplicate_report(self, order: Order, report: Report) -> Report:
        """Fills and closes twice, and the old fill once more beside the close."""
        moves = to_moves(report)
        again = tuple(move for move in moves if isinstance(move, Executed | PartiallyClosed | Closed))
        if order.fill_price is None or not moves:
            return (*moves, *again)
        return (Executed(order.fill_price, order.broker_order_id or ""), *moves, *again)

    def _occurs(self, order: Order, purpose: str, probability: Decimal) -> bool:
        return bool(probability) and self._random(order).uniform(f"{order.status} {purpose}") < probability

    def _pick_reason(self, order: Order, reasons: tuple[str, ...]) -> str:
        return reasons[int(self._random(order).uniform("reason") * len(reasons))]

    def _random(self, order: Order) -> SeededRandom:
        return SeededRandom(self._seed, order.id, order.attempts)
