"""Commands of an account: cancel an order before its fill, close it after.

Separate because commands lock the row and ask the broker within a transaction, in the web; `lifecycle` asks it outside
of any, in the worker.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import bulk, event_log, orders
from signalhub.brokers.base import Broker, BrokerError
from signalhub.brokers.stepper import find_next_due
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import Publish, order_event
from signalhub.domain.order import Cancelled, IllegalTransition, Move, Order, Status, apply

_SELECT_NOW = text("SELECT clock_timestamp()")
_LIMIT_LOCK_WAIT = text(f"SET LOCAL lock_timeout = '{int(event_log.LOCK_TIMEOUT_S * 1000)}ms'")
_DecideMove = Callable[[Order, datetime], Awaitable[Move]]

_CONDITIONS: Final = {
    Status.PENDING: "only a pending order can be cancelled",
    Status.EXECUTED: "only an executed order can be closed",
}


class OrderCommands:
    def __init__(self, engine: AsyncEngine, broker: Broker, publish: Publish) -> None:
        self._engine, self._broker, self._publish = engine, broker, publish

    async def cancel(self, account_id: str, order_id: str) -> Order:
        """Cancel an order. Raises `not_found`, or `illegal_transition` if it is no longer pending."""

        async def decide(_order: Order, _now: datetime) -> Move:
            return Cancelled()

        return await self._apply_move(account_id, order_id, Status.PENDING, decide)

    async def close(self, account_id: str, order_id: str) -> Order:
        """Close an order at market. Raises `not_found`, `illegal_transition` if it is not executed, `unavailable`."""

        async def decide(order: Order, now: datetime) -> Move:
            try:
                return await self._broker.close(order, now)
            except BrokerError as error:
                raise SignalHubError("unavailable", f"The broker refused: {error.reason}.", retry_after_s=1) from None

        return await self._apply_move(account_id, order_id, Status.EXECUTED, decide)

    async def _apply_move(self, account_id: str, order_id: str, required_status: Status, decide: _DecideMove) -> Order:
        """Apply a move while the row is locked, so that a concurrent fill comes entirely before or after it."""
        async with self._engine.connect() as connection:
            order = await _lock_order(connection, account_id, order_id)
            if order.status is not required_status:
                raise _illegal_transition_error(order, required_status)
            now = (await connection.execute(_SELECT_NOW)).scalar_one()
            move = await decide(order, now)
            try:
                moved = apply(order, move, now)
            except IllegalTransition:
                raise _illegal_transition_error(order, required_status) from None
            heads = await event_log.lock_heads(connection, {account_id})
            events, statements = event_log.assign_sequence(heads, [order_event(str(move.__struct_config__.tag), moved)])
            save = orders.save({moved.id: (moved, find_next_due(self._broker, moved, now))}, {order.id: order.version})
            await bulk.execute(connection, [save, *statements])
            await connection.commit()
        self._publish(events, ())
        return moved


async def _lock_order(connection: AsyncConnection, account_id: str, order_id: str) -> Order:
    table = orders.TABLE
    query = select(table).where(table.c.id == order_id, table.c.account_id == account_id).with_for_update()
    await connection.execute(_LIMIT_LOCK_WAIT)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise SignalHubError("not_found", "There is no such order.")
    try:
        return orders.from_row(row)
    except orders.UnreadableOrderError:
        raise SignalHubError(
            "illegal_transition", "The stored order cannot be read, so it cannot be changed."
        ) from None


def _illegal_transition_error(order: Order, required_status: Status) -> SignalHubError:
    return SignalHubError("illegal_transition", f"The order is {order.status}; {_CONDITIONS[required_status]}.")
