"""The actors of the worker process: each with its wire name and its queue."""

from functools import partial
from typing import Protocol

import dramatiq

from signalhub.jobs import ADVANCE_ACTOR, QUEUE_NAME, SWEEP_ACTOR


class ActorHandlers(Protocol):
    """Implemented by `actors.worker.WorkerServices`."""

    async def advance(self, order_ids: list[str]) -> None: ...
    async def sweep(self) -> None: ...


def declare(broker: dramatiq.Broker, handlers: ActorHandlers) -> None:
    """Declare the actors on `broker`.

    The names are the wire contract: messages in flight carry them across a deploy. There is no retry middleware: the
    leases of a failed message's orders end, and the scheduler requests a sweep.
    """
    actor = partial(dramatiq.actor, broker=broker, queue_name=QUEUE_NAME, time_limit=60_000)
    actor(actor_name=ADVANCE_ACTOR)(handlers.advance)
    actor(actor_name=SWEEP_ACTOR)(handlers.sweep)
