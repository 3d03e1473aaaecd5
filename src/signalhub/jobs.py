"""Messages to the workers' actors, and the one place that leans on private or undocumented parts of Dramatiq.

A message wakes a worker. It carries ids and no facts: one that is lost, late or duplicated changes nothing but the
time, since what is due is in the database. So a failure to enqueue is only logged. `tests/test_jobs.py` names each
private part of Dramatiq that is used here, and fails when its version or one of the parts changes.
"""

from collections.abc import Callable, Sequence
from time import sleep
from typing import Any, Final

import redis
import uvloop
from dramatiq import Broker, Message, Worker
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.middleware import AsyncIO
from redis.asyncio.client import Pipeline
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry
from redis.typing import EncodableT

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

# A wake-up that is lost costs this much time and nothing else.
_POLL_INTERVAL_S: Final = 0.5
_FULL_POLL_INTERVAL_S: Final = 0.002
_RECONNECT_DELAY_S: Final = 0.2


DueOrder = tuple[str, str]
"""Order id and trace id."""

Command = tuple[str, Sequence[str], Sequence[EncodableT]]
"""A Lua script with its keys and arguments."""


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


class CommandRecordingBroker(RedisBroker):
    """Record the Redis commands that Dramatiq's broker would send, for a pipeline. It has no server.

    Dramatiq's own client blocks; on a thread it would wait for the event loop to be idle, for each message.
    """

    def __init__(self, namespace: str) -> None:
        self._commands: list[Command] = []
        super().__init__(client=self, namespace=namespace, middleware=[])  # type: ignore[no-untyped-call]

    def register_script(self, script: str) -> Callable[..., None]:
        """Stand in for the method of the Redis client, which the broker calls for each of its scripts."""

        def call(*, keys: Sequence[str], args: Sequence[EncodableT]) -> None:
            self._commands.append((script, keys, args))

        return call

    def _max_unpack_size(self) -> int:
        """Dramatiq would ask the server. Enqueueing unpacks nothing."""
        return 1

    def take_commands(self) -> list[Command]:
        commands, self._commands = self._commands, []
        return commands


class WakeupSubscriber:
    """One consumer's subscription to the wake-up channel.

    Read in the consumer's own thread: every further thread on the way of a message adds a wait.
    """

    def __init__(self, client: "redis.Redis", channel: str) -> None:
        self._client, self._channel = client, channel
        self._pubsub: PubSub | None = None

    def wait(self, timeout_s: float) -> None:
        """Wait for a wake-up. Return at once if one came since the last call."""
        try:
            if self._pubsub is None:
                self._pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
                self._pubsub.subscribe(self._channel)
            has_wakeup = False
            while self._pubsub.get_message() is not None:
                has_wakeup = True
            if not has_wakeup:
                self._pubsub.get_message(timeout=timeout_s)
        except (redis.RedisError, OSError):
            self.close()
            sleep(min(timeout_s, _RECONNECT_DELAY_S))

    def close(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.close()


class NotifyingRedisBroker(RedisBroker):
    """A Redis broker whose idle consumers wake on a message of `wakeup_channel`.

    Dramatiq's consumer sleeps up to `worker_timeout` between two polls: a second by default, and a few percent of a
    core when that is made short.
    """

    def __init__(self, *, wakeup_channel: str, **options: Any) -> None:  # noqa: ANN401 - untyped in Dramatiq
        self.wakeup_channel = wakeup_channel
        super().__init__(**options)  # type: ignore[no-untyped-call]

    @property
    def consumer_class(self) -> "type[NotifyingRedisConsumer]":
        return NotifyingRedisConsumer


class NotifyingRedisConsumer(_RedisConsumer):
    """Dramatiq's consumer, which waits for the wake-up channel where the original sleeps."""

    def __init__(self, broker: NotifyingRedisBroker, queue_name: str, prefetch: int, _timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, 1)  # type: ignore[no-untyped-call]
        # There are no delayed messages here, but Dramatiq consumes their queue too: a poll of that one at the same
        # moment would only delay the other.
        is_delay_queue = queue_name in broker.delay_queues
        self._wakeup = None if is_delay_queue else WakeupSubscriber(broker.client, broker.wakeup_channel)
        self._is_queue_empty = False

    def __next__(self) -> Any:  # noqa: ANN401 - a message proxy or None, untyped in Dramatiq
        if not self.message_cache and self._is_queue_empty:
            # Before the poll and not after it: a poll right behind a message slows the worker of that message.
            # While all prefetch slots are taken, poll often, to fetch as soon as one is free.
            is_full = self.outstanding_message_count >= self.prefetch
            wait = sleep if self._wakeup is None else self._wakeup.wait
            wait(_FULL_POLL_INTERVAL_S if is_full else _POLL_INTERVAL_S)
        free_slots = 0 if self.message_cache else self.prefetch - self.outstanding_message_count
        message = super().__next__()  # type: ignore[no-untyped-call]
        if free_slots or message is None:
            self._is_queue_empty = message is None or len(self.message_cache) + 1 < free_slots
        return message

    def close(self) -> None:
        if self._wakeup is not None:
            self._wakeup.close()


class UvloopAsyncIO(AsyncIO):
    """Dramatiq's middleware for async actors, on uvloop, which it does not offer. A fill comes 3 % sooner."""

    def before_worker_boot(self, _broker: Broker, _worker: Worker) -> None:
        thread = EventLoopThread(self.logger)
        thread.loop.close()
        thread.loop = uvloop.new_event_loop()
        thread.start(timeout=1.0)
        set_event_loop_thread(thread)
