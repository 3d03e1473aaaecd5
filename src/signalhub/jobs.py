"""Messages to the workers' actors, by wire name.

A message wakes a worker. It carries ids and no facts: one that is lost, late or duplicated changes nothing but the
time, since what is due is in the database. So a failure to enqueue is only logged.
"""

from collections.abc import Sequence
from typing import Any, Final

import redis
from dramatiq import Message
from redis.asyncio.client import Pipeline
from redis.backoff import NoBackoff
from redis.retry import Retry

from signalhub.dramatiq_internals import CommandRecordingBroker

# The wire contract: messages in flight carry these across a deploy, so functions may be renamed and these may not.
QUEUE_NAME: Final = "orders"
ADVANCE_ACTOR: Final = "orders.advance"
SWEEP_ACTOR: Final = "orders.sweep"
TRACE_IDS_OPTION: Final = "trace_ids"
"""Message option: the trace id of each order id. Messages of older versions do not have it."""

NAMESPACE: Final = "signalhub:jobs"
WAKEUP_CHANNEL: Final = "signalhub:bell"
"""The pub/sub channel that wakes idle consumers, which would otherwise poll."""

WORKER_HEARTBEAT_KEY: Final = "signalhub:worker"
"""A key that every worker renews; it expires five seconds after the last one stopped."""

_MAX_IDS_PER_MESSAGE = 200


DueOrder = tuple[str, str]
"""Order id and trace id."""


def connect_redis(url: str, *, timeout_s: float | None = 1.0) -> "redis.Redis":
    """Return a client that fails fast: the defaults retry for more than 4 s when Redis is away."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 1), health_check_interval=30
    )


class JobNotifier:
    """Enqueues messages from an event loop, in a pipeline that the caller sends with its other commands."""

    def __init__(self) -> None:
        self._broker = CommandRecordingBroker(NAMESPACE)

    def enqueue(self, pipeline: "Pipeline", due_orders: Sequence[DueOrder]) -> None:
        """Add messages that ask to advance these orders, and the wake-up of an idle consumer."""
        if not due_orders:
            return
        for start in range(0, len(due_orders), _MAX_IDS_PER_MESSAGE):
            order_ids, trace_ids = zip(*due_orders[start : start + _MAX_IDS_PER_MESSAGE], strict=True)
            self._broker.enqueue(build_message(ADVANCE_ACTOR, order_ids, trace_ids=trace_ids))
        for script, keys, arguments in self._broker.take_commands():
            pipeline.eval(script, len(keys), *keys, *arguments)
        pipeline.publish(WAKEUP_CHANNEL, b"")


def build_message(actor_name: str, *args: Sequence[str], **options: Any) -> "Message[None]":  # noqa: ANN401 - JSON
    return Message(queue_name=QUEUE_NAME, actor_name=actor_name, args=args, kwargs={}, options=options)
