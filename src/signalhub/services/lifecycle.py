"""Advance accepted orders: claim, step, save.

A claim is a lease on due rows, so a worker that dies delays its orders by the lease and loses nothing. The broker
decides outside any transaction. The save is fenced by the version that was read, so of two workers with the same order
one writes.
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
from signalhub.services.metrics import CLAIM_AGE_SECONDS, STEPS

MAX_CLAIMED_ORDERS: Final = 200
_LATE_STEP_AFTER_S: Final = 0.1

_log = structlog.get_logger()

PublishEvents = Callable[[Sequence[Event]], Awaitable[None]]


async def _discard_events(_events: Sequence[Event]) -> None:
    pass


class Lifecycle:
    """`lease_s` is how long other workers leave a claimed order alone; a step may take 0.8 of it.

    `publish` gets the events of steps that were saved after their batch.
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
        """Advance those of these orders that are due by one step. Returns their events, None if none was due.

        Doing it twice, late or concurrently changes nothing. A slow broker does not delay the other orders: its step
        goes on in the background and is saved when it ends.
        """
        async with self._autocommit_engine.connect() as connection:
            claimed = await orders.claim(connection, self._lease_s, max_orders=MAX_CLAIMED_ORDERS, order_ids=order_ids)
        if claimed is None:
            return None
        results = await self._step_orders(claimed)
        async with self._engine.connect() as connection:
            return await self._save(connection, results)

    async def sweep(self) -> list[Event] | None:
        """Advance a batch of due orders by one step, each account's in the order in which they fell due.

        Returns their events, None if nothing is due that other workers have not claimed.
        """
        async with self._engine.connect() as connection, orders.acquire_shards(connection, self._lease_s) as shards:
            claimed = (
                await orders.claim(connection, self._lease_s, max_orders=MAX_CLAIMED_ORDERS, shards=shards)
                if shards
                else None
            )
            await connection.commit()
            return None if claimed is None else await self._save(connection, await self._step_orders(claimed))

    async def _step_orders(self, claimed: orders.ClaimedOrders) -> list[StepResult]:
        CLAIM_AGE_SECONDS.pending.append((claimed.now - claimed.oldest_due_at).total_seconds())
        steps = [asyncio.create_task(self._stepper.progress(order, claimed.now)) for order in claimed.orders]
        await asyncio.wait(steps, timeout=_LATE_STEP_AFTER_S)
        self._run_late_steps([step for step in steps if not step.done()])
        return [step.result() for step in steps if step.done()]

    async def close(self) -> None:
        """Cancel the late steps: their orders fall due again when the leases end."""
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
            result = await step
            async with self._engine.connect() as connection:
                await self._publish(await self._save(connection, [result]))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("lifecycle.late_step_save_failed", error=repr(error))  # it is tried again after its lease

    async def _save(self, connection: AsyncConnection, results: Sequence[StepResult]) -> list[Event]:
        """Save the moved orders and append their events, which those of a deleted account do not have any more."""
        if not results:
            return []
        _count_steps(results)
        _log_broker_problems(results)
        saved = await event_log.write_and_lock_heads(
            connection,
            orders.save(
                {result.order.id: (result.order, result.due_at) for result in results},
                {result.claimed.id: result.claimed.version for result in results},
            ),
            {result.order.account_id for result in results},
        )
        events = [] if saved is None else await _append_moves(connection, results, *saved)
        await connection.commit()
        return events


def _count_steps(results: Sequence[StepResult]) -> None:
    """Count a batch by result."""
    changed = [result for result in results if result.order.version != result.claimed.version]
    retried = sum(result.order.next_attempt_at is not None for result in changed)
    STEPS.pending["moved",] += len(changed) - retried
    STEPS.pending["retried",] += retried
    STEPS.pending["unchanged",] += len(results) - len(changed)
    STEPS.pending["failed",] += sum(bool(result.faults) for result in results)


def _log_broker_problems(results: Sequence[StepResult]) -> None:
    for result in results:
        for fault in result.faults:
            _log.error("broker.step_failed", order_id=result.order.id, exc_info=fault)
        if result.ignored:
            _log.info("broker.duplicate_report", order_id=result.order.id, moves=len(result.ignored))


async def _append_moves(
    connection: AsyncConnection, results: Sequence[StepResult], heads: event_log.LockedHeads, saved_order_ids: set[str]
) -> list[Event]:
    new_events = [
        new_event
        for result in results
        if result.order.id in saved_order_ids and result.order.account_id in heads.by_account
        for new_event in result.new_events
    ]
    return await event_log.append_events(connection, heads, new_events)
