"""A Redis broker whose idle consumers wake at once.

Dramatiq's consumer polls, sleeping up to `worker_timeout` between two looks: a second by default, and a few percent of
a core when that is made short. Here it waits for the bell instead (a Redis pub/sub channel) and looks anyway every
`_PATIENCE_S`, so that a bell unheard costs time and nothing else.
"""

from time import sleep
from typing import Any, Final

import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from redis.client import PubSub

from signalhub.jobs import QUEUE_NAME, WAKEUP_CHANNEL

_POLL_INTERVAL_S: Final = 0.5
_FULL_POLL_INTERVAL_S: Final = 0.002
_RECONNECT_DELAY_S: Final = 0.2


class WakeupSubscriber:
    """What one consumer listens to, in its own thread: each thread more on the way of a message is a wait more."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._pubsub: PubSub | None = None

    def wait(self, timeout_s: float) -> None:
        """Until it rings, or for so long; not at all if it rang since the last time."""
        try:
            if self._pubsub is None:
                self._pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
                self._pubsub.subscribe(WAKEUP_CHANNEL)
            has_rung = False
            while self._pubsub.get_message() is not None:
                has_rung = True
            if not has_rung:
                self._pubsub.get_message(timeout=timeout_s)
        except (redis.RedisError, OSError):
            self.close()
            sleep(min(timeout_s, _RECONNECT_DELAY_S))

    def close(self) -> None:
        line, self._pubsub = self._pubsub, None
        if line is not None:
            line.close()


class NotifyingRedisConsumer(_RedisConsumer):
    """Dramatiq's consumer, with the sleep between two looks replaced by the bell."""

    def __init__(self, broker: "NotifyingRedisBroker", queue_name: str, prefetch: int, _timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, 1)  # type: ignore[no-untyped-call]
        # Dramatiq has a consumer for delayed messages, too, of which there are none here: a look by that one at the
        # same moment would only be in the way of the other.
        self._wakeup = WakeupSubscriber(broker.client) if queue_name == QUEUE_NAME else None
        self._is_queue_empty = False

    def __next__(self) -> Any:  # noqa: ANN401 - a message proxy or None, untyped in Dramatiq
        if not self.message_cache and self._is_queue_empty:
            # Before the look and not after it: another look right behind a message is in the way of who works on it.
            (self._wakeup.wait if self._wakeup is not None else sleep)(self._poll_interval_s())
        asked = 0 if self.message_cache else self.prefetch - self.outstanding_message_count
        message = super().__next__()  # type: ignore[no-untyped-call]
        if asked or message is None:
            self._is_queue_empty = message is None or len(self.message_cache) + 1 < asked
        return message

    def close(self) -> None:
        if self._wakeup is not None:
            self._wakeup.close()

    def _poll_interval_s(self) -> float:
        """Full hands are not idle hands: then look again as soon as one is free."""
        return _POLL_INTERVAL_S if self.outstanding_message_count < self.prefetch else _FULL_POLL_INTERVAL_S


class NotifyingRedisBroker(RedisBroker):
    @property
    def consumer_class(self) -> type[NotifyingRedisConsumer]:
        return NotifyingRedisConsumer
