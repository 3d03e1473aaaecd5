"""A broker whose reports follow a script."""

import asyncio
from datetime import datetime

from signalhub.brokers.base import Report
from signalhub.domain.order import OPEN, Closed, CloseReason, Executed, Move, Order

ScriptedOutcome = Report | Exception | float
"""A report, an exception to raise, or the number of seconds to hang."""


class ScriptedBroker:
    """Each step of any order takes the next outcome. After the end of the script, orders are filled and closed."""

    def __init__(self, *script: ScriptedOutcome) -> None:
        self.script = list(script)
        self.stepped_order_ids: list[str] = []

    def next_due(self, order: Order) -> datetime | None:
        if order.status not in OPEN:
            return None
        return order.next_attempt_at or order.created_at

    async def step(self, order: Order, _now: datetime) -> Report:
        self.stepped_order_ids.append(order.id)
        outcome = self.script.pop(0) if self.script else self._default_move(order)
        if isinstance(outcome, float):
            await asyncio.sleep(outcome)
            return None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self, order: Order, _now: datetime) -> Move:
        return Closed(order.terms.take_profits[0], CloseReason.MANUAL)

    def _default_move(self, order: Order) -> Move:
        if order.fill_price is None:
            return Executed(order.terms.entry or order.terms.stop_loss, f"scripted-{order.id}")
        return Closed(order.terms.take_profits[0], CloseReason.TAKE_PROFIT)
