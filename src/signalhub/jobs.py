"""Messages to the workers' actors, and the one place that leans on private or undocumented parts of Dramatiq.

A message wakes a worker. It carries ids and no facts: one that is lost, late or duplicated changes nothing but the
time, since what is due is in the database. So a failure to enqueue is only logged. `tests/test_jobs.py` names each
private part of Dramatiq that is used here, and fails when its version or one of the parts changes.
"""

from collections import deque
from collections.abc import Callable, Sequence
from time import sleep
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
import redis
from dramatiq import Broker, Message, Worker
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AsyncIO
from redis.asyncio.client import Pipeline
from redis.client import PubSub
from redis.typing import EncodableT

from signalhub.redis_clients import RedisKeys

# The wire contract: messages in flight carry these across a deploy, so functions may be renamed and these may not.
QUEUE_NAME: Final = "orders"
ADVANCE_ACTOR: Final = "orders.advance"
SWEEP_ACTOR: Final = "orders.sweep"
TRACE_IDS_OPTION: Final = "trace_ids"
"""Message option: the trace id of each order id. Messages of older versions do not have it."""

_MAX_IDS_PER_MESSAGE = 200

# A wake-up that is lost costs this much time and nothing else.
_POLL_INTERVAL_S: Final = 0.5
_FULL_POLL_INTERVAL_S: Final = 0.002
_RECONNECT_DELAY_S: Final = 0.2


DueOrder = tuple[str, str]
"""Order id and trace id."""

Command = tuple[str, Sequence[str], Sequence[EncodableT]]
"""A Lua script with its keys and arguments."""


class _MessageOptions(msgspec.Struct, forbid_unknown_fields=True):
    redis_message_id: str
    trace_ids: list[str] = []


class _AdvanceMessage(msgspec.Struct, tag_field="actor_name", tag=ADVANCE_ACTOR):
    args: tuple[list[UUID]]
    kwargs: dict[str, None]
    options: _MessageOptions
    message_id: str
    message_timestamp: int
    queue_name: Literal["orders"]


class _SweepMessage(_AdvanceMessage, tag_field="actor_name", tag=SWEEP_ACTOR):
    args: tuple[()]  # type: ignore[assignment]  # it has none


_decode_message = msgspec.json.Decoder(_AdvanceMessage | _SweepMessage).decode


def is_valid_message(data: bytes | None) -> bool:
    """Return whether `data` is a message of one of the actors, with arguments of the right form."""
    try:
        return data is not None and not _decode_message(data).kwargs
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


class JobNotifier:
    """Enqueues messages from an event loop, in a pipeline that the caller sends with its other commands."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys, self._broker = keys, CommandRecordingBroker(keys.jobs)

    def enqueue(self, pipeline: "Pipeline", due_orders: Sequence[DueOrder]) -> None:
        """Add messages that ask to advance these orders, and the wake-up of an idle consumer."""
        if not due_orders:
            return
        for start in range(0, len(due_orders), _MAX_IDS_PER_MESSAGE):
            order_ids, trace_ids = zip(*due_orders[start : start + _MAX_IDS_PER_MESSAGE], strict=True)
            self._broker.enqueue(build_message(ADVANCE_ACTOR, order_ids, trace_ids=trace_ids))
        for script, keys, arguments in self._broker.take_commands():
            pipeline.eval(script, len(keys), *keys, *arguments)
        pipeline.publish(self._keys.wakeup, b"")


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
    """A Redis broker whose idle consumers wake on a message of the wake-up channel, and that drops corrupt messages.

    Dramatiq's consumer sleeps up to `worker_timeout` between two polls: a second by default, and a few percent of a
    core when that is made short. Until `keys` is set nothing is consumed.
    """

    def __init__(self, on_corrupt_message: Callable[[bytes | None], None], **options: Any) -> None:  # noqa: ANN401 - untyped in Dramatiq
        self.keys: RedisKeys | None = None
        self._on_corrupt_message = on_corrupt_message
        super().__init__(**options)  # type: ignore[no-untyped-call]

    @property
    def consumer_class(self) -> "type[NotifyingRedisConsumer]":
        return NotifyingRedisConsumer

    def set_keys(self, keys: RedisKeys) -> None:
        self.namespace, self.keys = keys.jobs, keys

    def do_fetch(self, queue_name: str, max_messages: int) -> list[bytes]:
        """Fetch messages, and drop those that no actor could process.

        A worker that meets one fails in a thread, or in its consumer, which then stops for three seconds.
        """
        fetch = self._dispatch("fetch")  # type: ignore[no-untyped-call]
        while fetched := fetch(queue_name, max_messages):
            messages = [data for data in fetched if is_valid_message(data)]
            if len(messages) < len(fetched):
                self._drop(queue_name, [data for data in fetched if not is_valid_message(data)])
            if messages:
                return messages
        return []

    def _drop(self, queue_name: str, corrupt: Sequence[bytes | None]) -> None:
        """Acknowledge messages by their content: their ids are in none that can be read."""
        ids = sorted(self.client.smembers(f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}"))
        stored = self.client.hmget(f"{self.namespace}:{queue_name}.msgs", ids) if ids else []
        for message_id, data in zip(ids, stored, strict=True):
            if data in corrupt:
                self.do_ack(queue_name, message_id)
        for data in corrupt:
            self._on_corrupt_message(data)


class NotifyingRedisConsumer(_RedisConsumer):
    """Dramatiq's consumer, which waits for the wake-up channel where the original sleeps.

    While Redis is away or refuses writes it pauses; what it could not acknowledge it acknowledges later.
    """

    def __init__(self, broker: NotifyingRedisBroker, queue_name: str, prefetch: int, _timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, 1)  # type: ignore[no-untyped-call]
        # There are no delayed messages here, but Dramatiq consumes their queue too: a poll of that one at the same
        # moment would only delay the other.
        self._is_delay_queue = queue_name in broker.delay_queues
        self._wakeup: WakeupSubscriber | None = None
        self._is_queue_empty = False
        self._unacknowledged_ids: deque[str] = deque()

    def __next__(self) -> Any:  # noqa: ANN401 - a message proxy or None, untyped in Dramatiq
        keys: RedisKeys | None = self.broker.keys
        if keys is None:
            sleep(_RECONNECT_DELAY_S)
            return None
        if self._wakeup is None and not self._is_delay_queue:
            self._wakeup = WakeupSubscriber(self.broker.client, keys.wakeup)
        if not self.message_cache and self._is_queue_empty:
            # Before the poll and not after it: a poll right behind a message slows the worker of that message.
            # While all prefetch slots are taken, poll often, to fetch as soon as one is free.
            is_full = self.outstanding_message_count >= self.prefetch
            wait = sleep if self._wakeup is None else self._wakeup.wait
            wait(_FULL_POLL_INTERVAL_S if is_full else _POLL_INTERVAL_S)
        free_slots = 0 if self.message_cache else self.prefetch - self.outstanding_message_count
        try:
            self._acknowledge_late()
            message = super().__next__()  # type: ignore[no-untyped-call]
        except (redis.RedisError, ConnectionClosed):
            # Raised on, each consumer would log it every three seconds.
            self._is_queue_empty = True
            sleep(_RECONNECT_DELAY_S)
            return None
        if free_slots or message is None:
            self._is_queue_empty = message is None or len(self.message_cache) + 1 < free_slots
        return message

    def ack(self, message: Any) -> None:  # noqa: ANN401 - a message proxy
        """Acknowledge a message, later if Redis does not take it: Dramatiq would keep the thread waiting."""
        try:
            super().ack(message)  # type: ignore[no-untyped-call]
        except (redis.RedisError, ConnectionClosed):
            self._unacknowledged_ids.append(message.options["redis_message_id"])

    def nack(self, message: Any) -> None:  # noqa: ANN401 - a message proxy
        """Drop a failed message: its orders fall due again by themselves, and nobody reads a dead-letter queue."""
        self.ack(message)

    def _acknowledge_late(self) -> None:
        while self._unacknowledged_ids:
            self.broker.do_ack(self.queue_name, self._unacknowledged_ids[0])
            self._unacknowledged_ids.popleft()

    def close(self) -> None:
        if self._wakeup is not None:
            self._wakeup.close()


class UvloopAsyncIO(AsyncIO):
    """Dramatiq's middleware for async actors, on uvloop, which it does not offer. A fill comes 3 % sooner."""

    def before_worker_boot(self, _broker: Broker, _worker: Worker) -> None:
        thread = EventLoopThread(self.logger)
        thread.daemon = True  # a process that ends without stopping its worker must not wait for it
        thread.loop.close()
        import uvloop  # noqa: PLC0415 - it does not exist on Windows, where commands import this module

        thread.loop = uvloop.new_event_loop()
        thread.start(timeout=1.0)
        set_event_loop_thread(thread)
