"""What happens to an order after its acceptance.

Claim, decide, save: the claim is a lease on due rows (whoever dies holding one loses nothing but the lease's time), the
broker decides outside any transaction, and the save is fenced by the version that was read, so that of two workers
with the same order one writes.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import journal, orders
from signalhub.brokers.base import Broker, BrokerError
from signalhub.domain.events import Event, Fact, order_fact
from signalhub.domain.order import Move, Order, Rejected, Retried, Status, apply
from signalhub.domain.retry import RetryPolicy

BATCH = 200

_log = structlog.get_logger()


class Progress(msgspec.Struct, frozen=True):
    """An order as claimed and as it stands now, with what to say about it."""

    claimed: Order
    order: Order
    facts: tuple[Fact, ...]
    due_at: datetime | None


class Lifecycle:
    """`lease_s`: how long an order that was claimed is left alone by others; a step gets a little less."""

    def __init__(self, engine: AsyncEngine, broker: Broker, policy: RetryPolicy, *, lease_s: float) -> None:
        self._engine, self._broker, self._policy, self._lease_s = engine, broker, policy, lease_s
        # A claim is one statement: BEGIN and COMMIT would be two more waits for the server.
        self._at_once = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def advance(self, ids: Sequence[str] | None = None) -> list[Event] | None:
        """Take one batch of due orders (of `ids`, if given) a step on; None when nothing was due.

        Doing it twice, late, or in two places at once changes nothing.
        """
        async with self._at_once.connect() as connection:
            claimed = await orders.claim(connection, self._lease_s, most=BATCH, ids=ids)
        if claimed is None:
            return None
        moved = await asyncio.gather(*(self._progress(order, claimed.now) for order in claimed.orders))
        return await self._save(moved)

    async def _progress(self, order: Order, now: datetime) -> Progress:
        claimed, facts = order, []
        while (due := self._due(order, now)) is not None and due <= now:
            stepped = await self._step(order, now)
            if stepped is None:
                break
            order, move = stepped
            facts.append(order_fact(str(move.__struct_config__.tag), order))
        return Progress(claimed, order, tuple(facts), self._due(order, now))

    def _due(self, order: Order, now: datetime) -> datetime | None:
        try:
            return self._broker.next_due(order)
        except Exception:  # noqa: BLE001 - as in _step, which is where such an order is led
            return order.next_attempt_at or now

    async def _step(self, order: Order, now: datetime) -> tuple[Order, Move] | None:
        try:
            async with asyncio.timeout(self._lease_s * 0.8):
                move = await self._broker.step(order, now)
            return None if move is None else (apply(order, move, now), move)
        except BrokerError as error:
            failed = self._failed(order, error, now)
        except TimeoutError:
            failed = self._failed(order, BrokerError("broker_timeout", permanent=False), now)
        except Exception:  # noqa: BLE001 - one order that makes a broker stumble must not hold up its batch
            _log.exception("broker.step_failed", order_id=order.id)
            failed = self._failed(order, BrokerError("broker_fault", permanent=False), now)
        return apply(order, failed, now), failed

    def _failed(self, order: Order, error: BrokerError, now: datetime) -> Move:
        attempts = order.attempts + 1
        # A position is never given up: only an order that is not filled yet can end by failing.
        if order.status is Status.PENDING and (error.permanent or self._policy.is_spent(attempts)):
            return Rejected(error.reason)
        return Retried(error.reason, self._policy.next_attempt(order.id, attempts, now))

    async def _save(self, moved: Sequence[Progress]) -> list[Event]:
        async with self._engine.connect() as connection:
            won = await orders.save(
                connection,
                {one.order.id: (one.order, one.due_at) for one in moved},
                {one.claimed.id: one.claimed.version for one in moved},
            )
            facts = [fact for one in moved if one.order.id in won for fact in one.facts]
            events: list[Event] = []
            if facts:
                heads = await journal.lock(connection, {fact.account_id for fact in facts})
                events = await journal.write(connection, heads, facts)
            await connection.commit()
        return events
