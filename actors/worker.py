"""The worker process: its services, its Dramatiq broker with middleware, and the entry point `run`.

`signalhub worker` forks as many as the settings say, and restarts each alone. Dramatiq's own command would stop all of
them when one dies.
"""

import asyncio
import os
import signal
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread, local
from time import monotonic, time
from typing import Any, Final

import dramatiq
import redis
import structlog
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import CurrentMessage, Middleware, ShutdownNotifications, TimeLimit
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.contextvars import bind_contextvars, unbind_contextvars

from actors import declare, worker_loops
from signalhub import process_upkeep, redis_clients, shared_metrics
from signalhub.container import build_services
from signalhub.domain.events import Event
from signalhub.jobs import (
    SWEEP_ACTOR,
    TRACE_IDS_OPTION,
    NotifyingRedisBroker,
    UvloopAsyncIO,
    build_message,
)
from signalhub.redis_clients import OUTDATED_KEYS, RedisKeys
from signalhub.services.metrics import CORRUPT_MESSAGES
from signalhub.settings import Settings, from_env
from signalhub.shared_metrics import DIRECTORY_VARIABLE
from signalhub.streams.metrics import PUBLISH_FAILURES

_MAX_SWEEP_DURATION_S: Final = 1.0
_MAX_CONCURRENT_SWEEPS: Final = 2
"""Sweeps of one process at a time: while one decides, the statements of the other run."""

_OUTDATED_KEYS_EXPIRY_S: Final = 3600
_KEY_LOAD_RETRY_S: Final = 0.5
_ENQUEUE_TIMEOUT_S: Final = 0.5
_PUBLISH_TIMEOUT_S: Final = 0.25

_STOP_TIMEOUT_MS: Final = 3_000
"""Less than the 4 s after which the process is killed. What is not finished by then goes on when its lease ends."""

_CONTEXT_KEYS = ("message_id", "trace_id")

_log = structlog.get_logger()


class WorkerServices:
    """What the actors work with. Connections open on first use, when the event loop that owns them runs."""

    def __init__(self, settings: Settings) -> None:
        self._services = build_services(settings, "worker")
        self.engine: AsyncEngine = self._services.engine
        self.redis_monitor = self._services.redis_monitor
        self._lifecycle = self._services.create_lifecycle(self._publish)
        self._active_sweeps = 0

    async def advance(self, order_ids: list[str]) -> None:
        """Advance those of the orders that are due by one step."""
        await self._publish(await self._lifecycle.advance(order_ids) or ())

    async def sweep(self) -> None:
        """Advance due orders batch by batch, for up to a second: the scheduler asks again for the rest.

        A sweep until nothing is due could run for ever, and the worker could not be stopped.
        """
        deadline = monotonic() + _MAX_SWEEP_DURATION_S
        self._active_sweeps += 1
        try:
            while monotonic() < deadline and (events := await self._lifecycle.sweep()) is not None:
                await self._publish(events)
        finally:
            self._active_sweeps -= 1

    def is_busy(self) -> bool:
        """Return whether so many sweeps run here that one more would finish nothing sooner."""
        return self._active_sweeps >= _MAX_CONCURRENT_SWEEPS

    async def load_redis_keys(self) -> RedisKeys:
        """Return the names of the keys once the database tells them."""
        while True:
            try:
                return await self._services.redis_keys.load()
            except (SQLAlchemyError, OSError, TimeoutError):
                await asyncio.sleep(_KEY_LOAD_RETRY_S)

    async def expire_outdated_keys(self) -> None:
        """Let the keys of older versions expire: their stream can be large, and nobody reads it after an upgrade."""
        with suppress(RedisError, OSError):
            for key in OUTDATED_KEYS:
                await self._services.redis.expire(key, _OUTDATED_KEYS_EXPIRY_S, nx=True)

    async def _publish(self, events: Sequence[Event]) -> None:
        """Publish, unless Redis is known to take no writes. A Redis that hangs delays no further order."""
        if not events:
            return
        if self.redis_monitor.is_failing:
            PUBLISH_FAILURES.inc()
        else:
            await self._services.publisher.publish(events, _PUBLISH_TIMEOUT_S)

    async def close(self) -> None:
        await self._lifecycle.close()
        await self._services.close()


def run() -> None:
    """Run this process's worker until SIGTERM, which is blocked: it waits here until the worker has started."""
    settings = from_env(os.environ)
    broker = make_broker(settings)
    dramatiq.set_broker(broker)
    broker.emit_after("process_boot")
    worker = dramatiq.Worker(broker, worker_threads=settings.worker.threads)
    worker.start()
    signal.sigwait({signal.SIGTERM})
    worker.stop(timeout=_STOP_TIMEOUT_MS)
    broker.close()


def serve_metrics() -> None:
    """Run Dramatiq's own HTTP server for the metrics of this host's workers until SIGTERM."""
    from actors.message_metrics import MessageMetrics  # noqa: PLC0415 - see `_create_message_metrics`

    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    Thread(target=lambda: asyncio.run(process_upkeep.send_heartbeats()), daemon=True).start()
    for run_server in MessageMetrics().forks:
        run_server()


def make_broker(settings: Settings) -> NotifyingRedisBroker:
    client = redis_clients.connect(settings.redis_url, timeout_s=5.0)
    worker = WorkerServices(settings)
    broker = NotifyingRedisBroker(
        on_corrupt_message=report_corrupt_message,
        client=client,
        # The messages of a killed worker are enqueued again after this; its orders do not wait for them.
        heartbeat_timeout=5_000,
        maintenance_chance=1_000_000,
        middleware=[
            UvloopAsyncIO(),  # first: the loop must run before anything below uses it, and stop after
            SchedulerMiddleware(worker, client, settings.worker.retention_days),
            TimeLimit(time_limit=60_000),  # no retries, no age limit: due orders are in the database
            ShutdownNotifications(),
            CurrentMessage(),
            LogContext(),
            *_create_message_metrics(),
        ],
    )
    declare(broker, worker)
    return broker


def report_corrupt_message(data: bytes | None) -> None:
    CORRUPT_MESSAGES.inc()
    _log.warning("message.corrupt", size_bytes=len(data or b""))


def _create_message_metrics() -> list[Middleware]:
    """Return Dramatiq's metrics of messages where a directory for them is named: its module creates one on import."""
    if DIRECTORY_VARIABLE not in os.environ:
        return []
    from actors.message_metrics import MessageMetrics  # noqa: PLC0415 - see above

    return [MessageMetrics()]


class SchedulerMiddleware(Middleware):
    """Runs the scheduler, the check of Redis with the heartbeat, and retention on the worker's event loop."""

    def __init__(self, services: WorkerServices, client: "redis.Redis", retention_days: int) -> None:
        self._services, self._client, self._retention_days = services, client, retention_days
        self._tasks: list[Future[None]] = []

    def after_worker_boot(self, broker: dramatiq.Broker, _worker: Any) -> None:  # noqa: ANN401 - untyped in Dramatiq
        assert isinstance(broker, NotifyingRedisBroker)  # noqa: S101 - of `make_broker`
        process_upkeep.freeze_gc()
        services = self._services
        poller = worker_loops.DueOrderPoller(
            services.engine, lambda: self._request_sweep(broker), services.sweep, services.is_busy
        )
        self._tasks = [
            run_on_event_loop(poller.run()),
            run_on_event_loop(self._set_keys(broker)),
            run_on_event_loop(services.redis_monitor.run()),
            run_on_event_loop(worker_loops.prune_expired_forever(services.engine, self._retention_days)),
            run_on_event_loop(shared_metrics.flush_forever()),
            run_on_event_loop(process_upkeep.send_heartbeats()),
            run_on_event_loop(process_upkeep.exit_with_parent(lambda: os._exit(1))),
        ]
        _log.info("worker.started", pid=os.getpid())

    async def _set_keys(self, broker: NotifyingRedisBroker) -> None:
        broker.set_keys(await self._services.load_redis_keys())
        await self._services.expire_outdated_keys()

    async def _request_sweep(self, broker: NotifyingRedisBroker) -> bool:
        """Enqueue a sweep and wake an idle worker. Return False where Redis does not take it."""
        keys = broker.keys
        if keys is None or self._services.redis_monitor.is_failing:
            return False

        def enqueue() -> None:
            broker.enqueue(build_message(SWEEP_ACTOR))
            self._client.publish(keys.wakeup, b"")

        try:
            await asyncio.wait_for(asyncio.to_thread(enqueue), _ENQUEUE_TIMEOUT_S)
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: Any) -> None:  # noqa: ANN401 - the same
        _log.info("worker.stopping")
        for task in self._tasks:
            task.cancel()


def run_on_event_loop(coroutine: Coroutine[Any, Any, None]) -> "Future[None]":
    """Start a coroutine on the worker's event loop. Raises RuntimeError before UvloopAsyncIO has started it."""
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("UvloopAsyncIO must be the first middleware.")
    return asyncio.run_coroutine_threadsafe(coroutine, thread.loop)


class LogContext(Middleware):
    """Binds `message_id`, and `trace_id` for a message about one order. The actor's task inherits both."""

    def __init__(self) -> None:
        self._thread = local()  # a worker thread handles one message at a time

    def before_process_message(self, _broker: dramatiq.Broker, message: Any) -> None:  # noqa: ANN401 - a proxy
        context = {"message_id": message.message_id}
        trace_ids = message.options.get(TRACE_IDS_OPTION, ())
        if len(trace_ids) == 1:  # a batch has up to 200; the line at its end names them
            context["trace_id"] = trace_ids[0]
        bind_contextvars(**context)
        self._thread.started_at = monotonic()

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: Any,  # noqa: ANN401 - a proxy
        *,
        result: object = None,  # noqa: ARG002 - Dramatiq passes it by name; actors return nothing
        exception: BaseException | None = None,
    ) -> None:
        values: dict[str, object] = {
            "actor": message.actor_name,
            "orders": len(message.args[0]) if message.args else 0,
            "duration_ms": round((monotonic() - self._thread.started_at) * 1000, 1),
            "age_ms": round(time() * 1000) - message.message_timestamp,
        }
        trace_ids = message.options.get(TRACE_IDS_OPTION, ())
        if len(trace_ids) > 1:
            values["trace_ids"] = trace_ids
        if exception is None:
            _log.info("message.processed", **values)
        else:  # Dramatiq logs the traceback
            _log.warning("message.failed", **values, error=repr(exception))
        unbind_contextvars(*_CONTEXT_KEYS)
