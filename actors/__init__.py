"""The worker's side: every actor, its wire name and its queue, in one table."""

from functools import partial
from typing import Protocol

import dramatiq

from signalhub.jobs import ADVANCE_ACTOR, QUEUE_NAME, SWEEP_ACTOR


class ActorHandlers(Protocol):
    """What the actors ask for; `actors.worker.Worker` is it."""

    async def advance(self, order_ids: list[str]) -> None: ...
    async def sweep(self) -> None: ...


def declare(broker: dramatiq.Broker, handlers: ActorHandlers) -> None:
    """Declare the actors on `broker`.

    The names are the wire contract: messages in flight carry them across a deploy. There is no retry middleware: a
    failed one leaves its orders to their leases, and the clock rings again.
    """
    actor = partial(dramatiq.actor, broker=broker, queue_name=QUEUE_NAME, time_limit=60_000)
    actor(actor_name=ADVANCE_ACTOR)(handlers.advance)
    actor(actor_name=SWEEP_ACTOR)(handlers.sweep)
