"""Where the Dramatiq command line begins: `dramatiq actors.boot:boot`."""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

import dramatiq
import redis
import structlog
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import CurrentMessage, Middleware, ShutdownNotifications, TimeLimit

from actors import clock, declare, retention
from actors.consumer import NotifyingRedisBroker
from actors.loop import UvloopAsyncIO
from actors.work import WorkerServices
from signalhub import log, memory, parent, settings
from signalhub.jobs import NAMESPACE, SWEEP_ACTOR, WAKEUP_CHANNEL, WORKER_HEARTBEAT_KEY, build_message, connect_redis

_log = structlog.get_logger()


def boot() -> None:
    """Read the settings, set up the broker and leave it where Dramatiq looks for it."""
    found = settings.from_env(os.environ)
    log.configure(found.log_level, found.log_format)
    dramatiq.set_broker(make_broker(found))


def make_broker(found: settings.Settings) -> NotifyingRedisBroker:
    client = connect_redis(found.redis_url, timeout_s=5.0)
    worker = WorkerServices(found)
    broker = NotifyingRedisBroker(  # type: ignore[no-untyped-call]
        client=client,
        namespace=NAMESPACE,
        # A killed worker's messages go back after this; its orders do not wait for them.
        heartbeat_timeout=5_000,
        maintenance_chance=1_000_000,
        middleware=[
            UvloopAsyncIO(),  # first: the loop must run before anything below uses it, and stop after
            SchedulerMiddleware(worker, client, found.retention_days),
            TimeLimit(time_limit=60_000),  # no retries, no age limit: what must happen is in the database
            ShutdownNotifications(),
            CurrentMessage(),
        ],
    )
    declare(broker, worker)
    return broker


class SchedulerMiddleware(Middleware):
    """Runs the clock on the worker's loop, and closes the connections when the worker goes."""

    def __init__(self, services: WorkerServices, client: "redis.Redis", retention_days: int) -> None:
        self._services, self._client, self._retention_days = services, client, retention_days
        self._tasks: list[Future[None]] = []

    def after_worker_boot(self, broker: dramatiq.Broker, _worker: Any) -> None:  # noqa: ANN401 - untyped in Dramatiq
        def ring() -> None:
            broker.enqueue(build_message(SWEEP_ACTOR))
            self._client.publish(WAKEUP_CHANNEL, b"")

        def show() -> None:
            self._client.set(WORKER_HEARTBEAT_KEY, os.getpid(), ex=5)

        memory.freeze_gc()
        self._tasks = [
            _run_on_event_loop(clock.poll_due_orders(self._services.engine, ring, self._services.is_busy)),
            _run_on_event_loop(clock.send_heartbeats(show)),
            _run_on_event_loop(retention.prune_expired_forever(self._services.engine, self._retention_days)),
            _run_on_event_loop(parent.exit_with_parent(lambda: os._exit(1))),
        ]

    def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: Any) -> None:  # noqa: ANN401 - the same
        _log.info("worker.stopping")
        for task in self._tasks:
            task.cancel()


def _run_on_event_loop(coroutine: Coroutine[Any, Any, None]) -> "Future[None]":
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("FastAsyncIO must come first")
    return asyncio.run_coroutine_threadsafe(coroutine, thread.loop)
