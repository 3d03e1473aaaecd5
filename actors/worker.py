"""The event loop of a worker process: uvloop, as in the web processes.

What an actor has in its hands: the database, the broker, the way to the stream - made on the worker's own loop.

Where the Dramatiq command line begins: `dramatiq actors.boot:boot`.
"""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Any, Final

import dramatiq
import redis
import structlog
import uvloop
from dramatiq import Broker, Worker
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread, set_event_loop_thread
from dramatiq.middleware import AsyncIO, CurrentMessage, Middleware, ShutdownNotifications, TimeLimit
from redis import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors import declare, scheduler
from actors.consumer import NotifyingRedisBroker
from signalhub import log, process, settings
from signalhub.container import build_services
from signalhub.domain.events import Event
from signalhub.jobs import NAMESPACE, SWEEP_ACTOR, WAKEUP_CHANNEL, WORKER_HEARTBEAT_KEY, build_message, connect_redis
from signalhub.settings import Settings
from signalhub.streams import redis_stream


class UvloopAsyncIO(AsyncIO):
    """Dramatiq's middleware for async actors, which has no choice of loop. A fill comes 3 % sooner so."""

    def before_worker_boot(self, _broker: Broker, _worker: Worker) -> None:
        thread = EventLoopThread(self.logger)
        thread.loop.close()
        thread.loop = uvloop.new_event_loop()
        thread.start(timeout=1.0)
        set_event_loop_thread(thread)


_MAX_SWEEP_DURATION_S: Final = 1.0
_MAX_CONCURRENT_SWEEPS: Final = 2
"""Sweeps of one process at a time: while one decides the other's statements are under way."""

_log = structlog.get_logger()


class WorkerServices:
    """Connections are opened on first use, by which time the event loop that owns them runs."""

    def __init__(self, settings: Settings) -> None:
        self._services = build_services(settings, "worker")
        self.engine: AsyncEngine = self._services.engine
        self._lifecycle = self._services.create_lifecycle(self._publish)
        self._active_sweeps = 0

    async def advance(self, order_ids: list[str]) -> None:
        """Take these orders a step on, those of them that are due."""
        await self._publish(await self._lifecycle.advance(order_ids) or ())

    async def sweep(self) -> None:
        """Take what is due a step on, batch by batch, for a while: the clock calls again for the rest.

        A message that ran until nothing is due could run for ever, and no worker could be stopped.
        """
        until = monotonic() + _MAX_SWEEP_DURATION_S
        self._active_sweeps += 1
        try:
            while monotonic() < until and (events := await self._lifecycle.sweep()) is not None:
                await self._publish(events)
        finally:
            self._active_sweeps -= 1

    def is_busy(self) -> bool:
        """Whether enough sweeps are under way here, so that calling one more would get nothing done sooner."""
        return self._active_sweeps >= _MAX_CONCURRENT_SWEEPS

    async def _publish(self, events: Sequence[Event]) -> None:
        try:
            await redis_stream.publish(self._services.redis, events)
        except (RedisError, OSError) as error:
            _log.info("publish.failed", events=len(events), error=repr(error))

    async def close(self) -> None:
        await self._lifecycle.close()
        await self._services.close()


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
            SchedulerMiddleware(worker, client, found.worker.retention_days),
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

        process.freeze_gc()
        self._tasks = [
            _run_on_event_loop(scheduler.poll_due_orders(self._services.engine, ring, self._services.is_busy)),
            _run_on_event_loop(scheduler.send_heartbeats(show)),
            _run_on_event_loop(scheduler.prune_expired_forever(self._services.engine, self._retention_days)),
            _run_on_event_loop(process.exit_with_parent(lambda: os._exit(1))),
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
