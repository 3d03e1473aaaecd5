"""Advance accepted orders: claim, step, save.

A claim is a lease on due rows, so a worker that dies delays its orders by the lease and loses nothing. The broker
decides outside any transaction. The save is fenced by the version that was read, so of two workers with the same order
one writes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Final

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import bulk, event_log, orders, shards
from db.engine import autocommit, is_lock_timeout
from signalhub.brokers.base import Broker
from signalhub.brokers.stepper import FAULT_REASON, OrderStepper, StepResult
from signalhub.domain.events import Event, format_timestamp
from signalhub.domain.order import Rejected, Status
from signalhub.domain.retry import RetryPolicy
from signalhub.services.metrics import CLAIM_AGE_SECONDS, GIVEN_UP_ORDERS, INTERRUPTED_STEPS, STEPS

MAX_CLAIMED_ORDERS: Final = 200
_LATE_STEP_AFTER_S: Final = 0.1
_HELD_ORDER_PAUSE_S: Final = 0.1

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
        self._background_tasks: set[asyncio.Task[None]] = set()
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
            return await self._save(connection, results, claimed.now)

    async def sweep(self) -> list[Event] | None:
        """Advance a batch of due orders by one step, each account's in the order in which they fell due.

        Returns their events, None if nothing is due that other workers have not claimed.
        """
        async with self._engine.connect() as connection:
            lease = await shards.lease_due(connection)
            claimed = (
                await orders.claim(connection, self._lease_s, max_orders=MAX_CLAIMED_ORDERS, shards=lease.shards)
                if lease.shards
                else None
            )
            if claimed is None:
                return None  # closing the connection rolls the lease back
            try:
                await connection.commit()
                return await self._save(connection, await self._step_orders(claimed), claimed.now)
            finally:
                await connection.rollback()  # what a failed save left
                await shards.release(connection, lease)
                await connection.commit()

    async def _step_orders(self, claimed: orders.ClaimedOrders) -> list[StepResult]:
        CLAIM_AGE_SECONDS.pending.append((claimed.now - claimed.oldest_due_at).total_seconds())
        _report_interruptions(claimed)
        steps = [asyncio.create_task(self._stepper.progress(order, claimed.now)) for order in claimed.orders]
        if steps:
            await asyncio.wait(steps, timeout=_LATE_STEP_AFTER_S)
        for step in steps:
            if not step.done():
                self._run_in_background(self._save_late_step(step, claimed.now))
        unreadable = [
            self._stepper.fail(error.order, Rejected(orders.UNREADABLE, is_given_up=True), claimed.now, error)
            for error in claimed.unreadable
        ]
        return unreadable + [step.result() for step in steps if step.done()]

    async def close(self) -> None:
        """Cancel what runs in the background: its orders fall due again when the leases end."""
        for task in self._background_tasks:
            task.cancel()
        await asyncio.gather(*self._background_tasks, return_exceptions=True)

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_log_failure(work))
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    async def _save_late_step(self, step: "asyncio.Task[StepResult]", now: datetime) -> None:
        result = await step
        async with self._engine.connect() as connection:
            events = await self._save(connection, [result], now)
        await self._publish(events)

    async def _save(self, connection: AsyncConnection, results: Sequence[StepResult], now: datetime) -> list[Event]:
        if not results:
            return []
        _count_steps(results)
        _log_problems(results)
        return await self._save_or_split(connection, results, now)

    async def _save_or_split(
        self, connection: AsyncConnection, results: Sequence[StepResult], now: datetime
    ) -> list[Event]:
        """Save a batch. If the database refuses a row of it, save its halves, and give up the one order at fault."""
        try:
            return await self._save_batch(connection, results)
        except DBAPIError as error:
            if is_lock_timeout(error):
                await connection.rollback()
                events, held = await self._save_free(connection, results)
                if held:
                    _log.warning("lifecycle.orders_locked", orders=len(held))
                    self._run_in_background(self._save_held(held, monotonic() + self._lease_s))
                return events
            if not bulk.is_row_error(error):
                raise
            await connection.rollback()
            if len(results) > 1:
                middle = len(results) // 2
                first = await self._save_or_split(connection, results[:middle], now)
                return first + await self._save_or_split(connection, results[middle:], now)
            failed = self._stepper.fail(results[0].claimed, Rejected(FAULT_REASON, is_given_up=True), now, error)
        _log_problems([failed])
        return await self._save_batch(connection, [failed])

    async def _save_free(
        self, connection: AsyncConnection, results: Sequence[StepResult]
    ) -> tuple[list[Event], list[StepResult]]:
        """Save those orders that nobody else holds, with a log that is free. Returns their events, and the others."""
        heads = await event_log.lock_free_heads(connection, {result.order.account_id for result in results})
        free_ids = await orders.lock_free(connection, [result.order.id for result in results])
        ready, held = list[StepResult](), list[StepResult]()
        for result in results:
            is_ready = heads is not None and result.order.account_id in heads.by_account and result.order.id in free_ids
            (ready if is_ready else held).append(result)
        if not ready:
            await connection.rollback()
            return [], held
        return await self._save_batch(connection, ready), held

    async def _save_held(self, held: list[StepResult], deadline: float) -> None:
        """Save what others hold as soon as they do not, until the lease ends and the orders fall due again."""
        while held and monotonic() < deadline:
            await asyncio.sleep(_HELD_ORDER_PAUSE_S)
            async with self._engine.connect() as connection:
                events, held = await self._save_free(connection, held)
            await self._publish(events)

    async def _save_batch(self, connection: AsyncConnection, results: Sequence[StepResult]) -> list[Event]:
        """Save the moved orders and append their events, which those of a deleted account do not have any more."""
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


async def _log_failure(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        _log.warning("lifecycle.late_step_save_failed", error=repr(error))  # it is tried again after its lease


def _report_interruptions(claimed: orders.ClaimedOrders) -> None:
    """Count and log, in one line, the orders whose step another worker began and did not finish."""
    interrupted = [
        order for order in claimed.orders if order.interruptions and order.interruptions[-1].resumed_at == claimed.now
    ]
    if interrupted:
        INTERRUPTED_STEPS.inc(len(interrupted))
        claimed_at = min(order.interruptions[-1].claimed_at for order in interrupted)
        _log.warning(
            "lifecycle.steps_interrupted",
            claimed_at=format_timestamp(claimed_at),
            order_ids=[order.id for order in interrupted],
        )


def _count_steps(results: Sequence[StepResult]) -> None:
    """Count a batch by result."""
    changed = [result for result in results if result.order.version != result.claimed.version]
    retried = sum(result.order.next_attempt_at is not None for result in changed)
    STEPS.pending["moved",] += len(changed) - retried
    STEPS.pending["retried",] += retried
    STEPS.pending["unchanged",] += len(results) - len(changed)
    STEPS.pending["failed",] += sum(bool(result.faults) for result in results)


def _log_problems(results: Sequence[StepResult]) -> None:
    for result in results:
        order = result.order
        for fault in result.faults:
            _log.error("broker.step_failed", order_id=order.id, exc_info=fault)
        if result.faults and order.status is Status.REJECTED:
            GIVEN_UP_ORDERS.labels(order.reason).inc()
            _log.error("order.given_up", order_id=order.id, account_id=order.account_id, reason=order.reason)
        if result.ignored:
            _log.info("broker.duplicate_report", order_id=order.id, moves=len(result.ignored))


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
