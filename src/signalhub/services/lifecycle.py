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

from db import journal, lanes, orders
from db.engine import at_once
from signalhub.brokers.base import Broker
from signalhub.domain.events import Event
from signalhub.domain.retry import RetryPolicy
from signalhub.services.steps import Progress, Steps

BATCH: Final = 200
_HURRY_S: Final = 0.1

_log = structlog.get_logger()

Tell = Callable[[Sequence[Event]], Awaitable[None]]


async def _tell_nobody(_events: Sequence[Event]) -> None:
    pass


class Lifecycle:
    """`lease_s`: how long an order that was claimed is left alone by others; a step gets a little less.

    `tell` hears of what was saved after its batch had gone on without it.
    """

    def __init__(
        self, engine: AsyncEngine, broker: Broker, policy: RetryPolicy, *, lease_s: float, tell: Tell = _tell_nobody
    ) -> None:
        self._engine, self._lease_s, self._tell = engine, lease_s, tell
        self._steps = Steps(broker, policy, patience_s=lease_s * 0.8)
        self._late: set[asyncio.Task[None]] = set()
        self._at_once = at_once(engine)

    async def advance(self, ids: Sequence[str]) -> list[Event] | None:
        """Take those of `ids` that are due a step on; None when none was.

        Doing it twice, late, or in two places at once changes nothing. An order whose broker takes its time holds up
        nobody: it is seen to in the background, and saved when the broker has answered.
        """
        async with self._at_once.connect() as connection:
            claimed = await orders.claim(connection, self._lease_s, most=BATCH, ids=ids)
        if claimed is None:
            return None
        moved = await self._decide(claimed)
        async with self._engine.connect() as connection:
            return await self._save(connection, moved)

    async def sweep(self) -> list[Event] | None:
        """Take a batch of whatever is due a step on, each account's orders in the order in which they fell due.

        None when nothing was due that others are not seeing to.
        """
        async with self._engine.connect() as connection, lanes.turn(connection, self._lease_s) as mine:
            claimed = await orders.claim(connection, self._lease_s, most=BATCH, lanes=mine) if mine else None
            await connection.commit()
            return None if claimed is None else await self._save(connection, await self._decide(claimed))

    async def _decide(self, claimed: orders.Claimed) -> list[Progress]:
        steps = [asyncio.create_task(self._steps.progress(order, claimed.now)) for order in claimed.orders]
        await asyncio.wait(steps, timeout=_HURRY_S)
        self._see_to([step for step in steps if not step.done()])
        return [step.result() for step in steps if step.done()]

    async def close(self) -> None:
        """Leave the late ones to their leases."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    def _see_to(self, steps: Sequence["asyncio.Task[Progress]"]) -> None:
        for step in steps:
            task = asyncio.create_task(self._finish(step))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _finish(self, step: "asyncio.Task[Progress]") -> None:
        try:
            moved = await step
            async with self._engine.connect() as connection:
                await self._tell(await self._save(connection, [moved]))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("lifecycle.late_step_unsaved", error=repr(error))  # its lease ends, and it is tried again

    async def _save(self, connection: AsyncConnection, moved: Sequence[Progress]) -> list[Event]:
        """Orders of an account that was deleted move unheard: they must not hold up the others of their batch."""
        if not moved:
            return []
        saved = await journal.lock_after(
            connection,
            orders.save(
                {one.order.id: (one.order, one.due_at) for one in moved},
                {one.claimed.id: one.claimed.version for one in moved},
            ),
            {one.order.account_id for one in moved},
        )
        events = [] if saved is None else await _log_moves(connection, moved, *saved)
        await connection.commit()
        return events


async def _log_moves(
    connection: AsyncConnection, moved: Sequence[Progress], heads: journal.Heads, won: set[str]
) -> list[Event]:
    told = [one for one in moved if one.order.id in won and one.order.account_id in heads.by_account]
    return await journal.write(connection, heads, [fact for one in told for fact in one.facts])
