"""Ringing for work: messages to actors, by wire name.

A message is a doorbell. It carries ids and no facts; a lost, late or doubled one changes nothing but the time, since
what is due stands in the database. So a failure here is forgotten.
"""

from collections.abc import Callable, Sequence
from typing import Final

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from redis.asyncio.client import Pipeline
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.typing import EncodableT

# The wire contract: messages in flight carry these across a deploy, so functions may be renamed and these may not.
QUEUE_NAME: Final = "orders"
ADVANCE_ACTOR: Final = "orders.advance"
SWEEP_ACTOR: Final = "orders.sweep"

NAMESPACE: Final = "signalhub:jobs"
WAKEUP_CHANNEL: Final = "signalhub:bell"
"""The pub/sub channel that wakes idle consumers, which would otherwise poll."""

WORKER_HEARTBEAT_KEY: Final = "signalhub:worker"
"""A key that a living worker renews; it goes five seconds after the last one."""

_MAX_IDS_PER_MESSAGE = 200


def connect_redis(url: str, *, timeout_s: float | None = 1.0) -> "redis.Redis":
    """A client that fails fast: the defaults retry for more than 4 s when Redis is away."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 1), health_check_interval=30
    )


class JobNotifier:
    """Rings actors from an event loop, along with whatever else its caller has to tell Redis.

    Dramatiq's client blocks; on a thread of its own it would wait for the loop to come to rest, each time.
    """

    def __init__(self) -> None:
        self._broker = CommandRecordingBroker()

    def enqueue(self, pipeline: "Pipeline", order_ids: Sequence[str]) -> None:
        """Put into `pipeline` what asks for these orders to be advanced now."""
        if not order_ids:
            return
        for start in range(0, len(order_ids), _MAX_IDS_PER_MESSAGE):
            self._broker.enqueue(build_message(ADVANCE_ACTOR, order_ids[start : start + _MAX_IDS_PER_MESSAGE]))
        for script, keys, arguments in self._broker.take_commands():
            pipeline.eval(script, len(keys), *keys, *arguments)
        pipeline.publish(WAKEUP_CHANNEL, b"")


_Command = tuple[str, Sequence[str], Sequence[EncodableT]]


class CommandRecordingBroker(RedisBroker):
    """Dramatiq's broker, asked for the commands that it would send. It has no server."""

    def __init__(self) -> None:
        self._commands: list[_Command] = []
        super().__init__(client=self, namespace=NAMESPACE, middleware=[])  # type: ignore[no-untyped-call]

    def register_script(self, script: str) -> Callable[..., None]:
        """What Dramatiq asks of its client."""

        def call(*, keys: Sequence[str], args: Sequence[EncodableT]) -> None:
            self._commands.append((script, keys, args))

        return call

    def _max_unpack_size(self) -> int:
        """Asked of the server otherwise. What enqueues unpacks nothing."""
        return 1

    def take_commands(self) -> list[_Command]:
        commands, self._commands = self._commands, []
        return commands


def build_message(actor_name: str, *args: Sequence[str]) -> "Message[None]":
    return Message(queue_name=QUEUE_NAME, actor_name=actor_name, args=args, kwargs={}, options={})
