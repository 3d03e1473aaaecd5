"""Ringing for work: messages to actors, by wire name.

A message is a doorbell. It carries ids and no facts; a lost, late or doubled one changes nothing but the time, since
what is due stands in the database. So every failure here is counted and forgotten.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import redis
import structlog
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.retry import Retry

# The wire contract: messages in flight carry these across a deploy, so functions may be renamed and these may not.
QUEUE: Final = "orders"
ADVANCE: Final = "orders.advance"
SWEEP: Final = "orders.sweep"

NAMESPACE: Final = "signalhub:jobs"
BELL: Final = "signalhub:bell"
"""The pub/sub channel that wakes idle consumers, which would otherwise poll."""

WORKER_SEEN: Final = "signalhub:worker"
"""A key that a living worker renews; it goes five seconds after the last one."""

_MOST_IDS = 200

_log = structlog.get_logger()


def connect(url: str, *, timeout_s: float | None = 1.0) -> "redis.Redis":
    """A client that fails fast: the defaults retry for more than 4 s when Redis is away."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 1), health_check_interval=30
    )


class Doorbell:
    """Rings actors from an event loop, on a thread of the default executor, since Dramatiq's client blocks."""

    def __init__(self, redis_url: str) -> None:
        self._client = connect(redis_url)
        self._broker = RedisBroker(client=self._client, namespace=NAMESPACE, middleware=[])  # type: ignore[no-untyped-call]

    async def ring(self, order_ids: Sequence[str]) -> None:
        """Ask for these orders to be advanced now. Never raises for a Redis that is away."""
        if order_ids:
            await asyncio.to_thread(self._ring, list(order_ids))

    def _ring(self, order_ids: list[str]) -> None:
        try:
            for start in range(0, len(order_ids), _MOST_IDS):
                self._broker.enqueue(message(ADVANCE, order_ids[start : start + _MOST_IDS]))
            self._client.publish(BELL, b"")
        except (redis.RedisError, OSError) as error:
            _log.info("doorbell.unheard", orders=len(order_ids), error=repr(error))

    def close(self) -> None:
        self._client.close()


def message(actor: str, *args: list[str]) -> "Message[None]":
    return Message(queue_name=QUEUE, actor_name=actor, args=args, kwargs={}, options={})
