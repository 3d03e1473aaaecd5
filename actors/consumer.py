"""A Redis broker whose idle consumers wake at once.

Dramatiq's consumer polls, sleeping up to `worker_timeout` between two looks: a second by default, and a few percent of
a core when that is made short. Here it waits for the bell instead (a Redis pub/sub channel) and looks anyway every
`_PATIENCE_S`, so that a bell unheard costs time and nothing else.
"""

import threading
from typing import Any, Final

import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer

from signalhub.jobs import BELL

_PATIENCE_S: Final = 0.5
_FULL_PAUSE_S: Final = 0.002


class Bell:
    """Listens on a thread of its own, for ever; `listen` gives an event that is set whenever the bell rings."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._listeners: list[threading.Event] = []
        threading.Thread(target=self._run, name="bell", daemon=True).start()

    def listen(self) -> threading.Event:
        event = threading.Event()
        self._listeners.append(event)
        return event

    def _run(self) -> None:
        while True:
            try:
                self._hear()
            except (redis.RedisError, OSError):
                threading.Event().wait(0.2)

    def _hear(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(BELL)
            while True:
                # Asked again every second, so that a connection that died in silence is noticed.
                if pubsub.get_message(timeout=1.0) is not None:
                    self._wake()

    def _wake(self) -> None:
        for event in self._listeners:
            event.set()


class WakefulConsumer(_RedisConsumer):
    """Dramatiq's consumer, with the sleep between two looks replaced by the bell."""

    def __init__(self, broker: "WakefulBroker", queue_name: str, prefetch: int, _timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, 1)  # type: ignore[no-untyped-call]
        self._rung = broker.bell.listen()
        self._is_drained = False

    def __next__(self) -> Any:  # noqa: ANN401 - a message proxy or None, untyped in Dramatiq
        if not self.message_cache and self._is_drained:
            # Before the look and not after it: another look right behind a message is in the way of who works on it.
            self._rung.wait(self._pause_s())
            self._rung.clear()
        asked = 0 if self.message_cache else self.prefetch - self.outstanding_message_count
        message = super().__next__()  # type: ignore[no-untyped-call]
        if asked or message is None:
            self._is_drained = message is None or len(self.message_cache) + 1 < asked
        return message

    def _pause_s(self) -> float:
        """Full hands are not idle hands: then look again as soon as one is free."""
        return _PATIENCE_S if self.outstanding_message_count < self.prefetch else _FULL_PAUSE_S


class WakefulBroker(RedisBroker):
    def __init__(self, *, bell: Bell, **options: Any) -> None:  # noqa: ANN401 - handed on as they are
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.bell = bell

    @property
    def consumer_class(self) -> type[WakefulConsumer]:
        return WakefulConsumer
