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
from actors.consumer import WakefulBroker
from actors.loop import FastAsyncIO
from actors.work import Worker
from signalhub import log, memory, parent, settings
from signalhub.jobs import BELL, NAMESPACE, SWEEP, WORKER_SEEN, connect, message

_log = structlog.get_logger()


def boot() -> None:
    """Read the settings, set up the broker and leave it where Dramatiq looks for it."""
    found = settings.from_env(os.environ)
    log.configure(found.log_level, found.log_format)
    dramatiq.set_broker(make_broker(found))


def make_broker(found: settings.Settings) -> WakefulBroker:
    client = connect(found.redis_url, timeout_s=5.0)
    worker = Worker(found)
    broker = WakefulBroker(  # type: ignore[no-untyped-call]
        client=client,
        namespace=NAMESPACE,
        # A killed worker's messages go back after this; its orders do not wait for them.
        heartbeat_timeout=5_000,
        maintenance_chance=1_000_000,
        middleware=[
            FastAsyncIO(),  # first: the loop must run before anything below uses it, and stop after
            Clock(worker, client, found.retention_days),
            TimeLimit(time_limit=60_000),  # no retries, no age limit: what must happen is in the database
            ShutdownNotifications(),
            CurrentMessage(),
        ],
    )
    declare(broker, worker)
    return broker


class Clock(Middleware):
    """Runs the clock on the worker's loop, and closes the connections when the worker goes."""

    def __init__(self, worker: Worker, client: "redis.Redis", retention_days: int) -> None:
        self._worker, self._client, self._retention_days = worker, client, retention_days
        self._running: list[Future[None]] = []

    def after_worker_boot(self, broker: dramatiq.Broker, _worker: Any) -> None:  # noqa: ANN401 - untyped in Dramatiq
        def ring() -> None:
            broker.enqueue(message(SWEEP))
            self._client.publish(BELL, b"")

        def show() -> None:
            self._client.set(WORKER_SEEN, os.getpid(), ex=5)

        memory.settle()
        self._running = [
            _start(clock.run(self._worker.engine, ring, self._worker.is_busy)),
            _start(clock.be_seen(show)),
            _start(retention.run(self._worker.engine, self._retention_days)),
            _start(parent.watch(lambda: os._exit(1))),
        ]

    def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: Any) -> None:  # noqa: ANN401 - the same
        _log.info("worker.stopping")
        for task in self._running:
            task.cancel()


def _start(coroutine: Coroutine[Any, Any, None]) -> "Future[None]":
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("FastAsyncIO must come first")
    return asyncio.run_coroutine_threadsafe(coroutine, thread.loop)
