"""What happens to an order after its acceptance.

Claim, decide, save: the claim is a lease on due rows (whoever dies holding one loses nothing but the lease's time), the
broker decides outside any transaction, and the save is fenced by the version that was read, so that of two workers
with the same order one writes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import event_log, orders
from db.engine import autocommit
from signalhub.brokers.base import Broker
from signalhub.brokers.stepper import OrderStepper, StepResult
from signalhub.domain.events import Event
from signalhub.domain.retry import RetryPolicy

MAX_CLAIMED_ORDERS: Final = 200
_LATE_STEP_AFTER_S: Final = 0.1

_log = structlog.get_logger()

PublishEvents = Callable[[Sequence[Event]], Awaitable[None]]


async def _discard_events(_events: Sequence[Event]) -> None:
    pass


class Lifecycle:
    """`lease_s`: how long an order that was claimed is left alone by others; a step gets a little less.

    `tell` hears of what was saved after its batch had gone on without it.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        broker: Broker,
        retry_policy: RetryPolicy,
        *,
        lease_s: float,
        publish: PublishEvents = _discard_events,
    ) -> None:
        self._engine, self._lease_s, self._publish = engine, lease_s, publish
        self._stepper = OrderStepper(broker, retry_policy, timeout_s=lease_s * 0.8)
        self._late_steps: set[asyncio.Task[None]] = set()
        self._autocommit_engine = autocommit(engine)

    async def advance(self, order_ids: Sequence[str]) -> list[Event] | None:
        """Take those of `ids` that are due a step on; None when none was.

        Doing it twice, late, or in two places at once changes nothing. An order whose broker takes its time holds up
        nobody: it is seen to in the background, and saved when the broker has answered.
        """
        async with self._autocommit_engine.connect() as connection:
            claimed = await orders.claim(connection, self._lease_s, max_orders=MAX_CLAIMED_ORDERS, order_ids=order_ids)
        if claimed is None:
            return None
        moved = await self._step_orders(claimed)
        async with self._engine.connect() as connection:
            return await self._save(connection, moved)

    async def sweep(self) -> list[Event] | None:
        """Take a batch of whatever is due a step on, each account's orders in the order in which they fell due.

        None when nothing was due that others are not seeing to.
        """
        async with self._engine.connect() as connection, orders.acquire_shards(connection, self._lease_s) as mine:
            claimed = (
                await orders.claim(connection, self._lease_s, max_orders=MAX_CLAIMED_ORDERS, shards=mine)
                if mine
                else None
            )
            await connection.commit()
            return None if claimed is None else await self._save(connection, await self._step_orders(claimed))

    async def _step_orders(self, claimed: orders.ClaimedOrders) -> list[StepResult]:
        steps = [asyncio.create_task(self._stepper.progress(order, claimed.now)) for order in claimed.orders]
        await asyncio.wait(steps, timeout=_LATE_STEP_AFTER_S)
        self._run_late_steps([step for step in steps if not step.done()])
        return [step.result() for step in steps if step.done()]

    async def close(self) -> None:
        """Leave the late ones to their leases."""
        for task in self._late_steps:
            task.cancel()
        await asyncio.gather(*self._late_steps, return_exceptions=True)

    def _run_late_steps(self, steps: Sequence["asyncio.Task[StepResult]"]) -> None:
        for step in steps:
            task = asyncio.create_task(self._save_late_step(step))
            self._late_steps.add(task)
            task.add_done_callback(self._late_steps.discard)

    async def _save_late_step(self, step: "asyncio.Task[StepResult]") -> None:
        try:
            moved = await step
            async with self._engine.connect() as connection:
                await self._publish(await self._save(connection, [moved]))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("lifecycle.late_step_save_failed", error=repr(error))  # its lease ends, and it is tried again

    async def _save(self, connection: AsyncConnection, results: Sequence[StepResult]) -> list[Event]:
        """Orders of an account that was deleted move unheard: they must not hold up the others of their batch."""
        if not results:
            return []
        _log_broker_problems(results)
        saved = await event_log.write_and_lock_heads(
            connection,
            orders.save(
                {one.order.id: (one.order, one.due_at) for one in results},
                {one.claimed.id: one.claimed.version for one in results},
            ),
            {one.order.account_id for one in results},
        )
        events = [] if saved is None else await _append_moves(connection, results, *saved)
        await connection.commit()
        return events


def _log_broker_problems(results: Sequence[StepResult]) -> None:
    for result in results:
        for fault in result.faults:
            _log.error("broker.step_failed", order_id=result.order.id, exc_info=fault)
        if result.ignored:
            _log.info("broker.duplicate_report", order_id=result.order.id, moves=len(result.ignored))


async def _append_moves(
    connection: AsyncConnection, results: Sequence[StepResult], heads: event_log.LockedHeads, saved_order_ids: set[str]
) -> list[Event]:
    told = [one for one in results if one.order.id in saved_order_ids and one.order.account_id in heads.by_account]
    return await event_log.append_events(connection, heads, [fact for one in told for fact in one.new_events])
