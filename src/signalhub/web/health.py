"""Liveness, readiness and Prometheus metrics."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from functools import partial
from typing import Final, Literal

import msgspec
from litestar import MediaType, Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import migrate
from signalhub.concurrency import SingleFlight
from signalhub.container import Services
from signalhub.domain.events import format_timestamp
from signalhub.shared_metrics import render as render_metrics
from signalhub.streams.redis_state import RedisStatus
from signalhub.web.auth import AppServices
from signalhub.web.middleware import limit_database_time
from signalhub.web.openapi import PUBLIC, response_specs
from signalhub.web.request_validation import validate_request

_CHECK_TIMEOUT_S: Final = 1.5


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is `unavailable` where signals are refused, and then the response is 503.

    It is `degraded` while Redis is away (`redis` is false) or takes no writes (`read_only`): signals are accepted, but
    orders move and streams get their events up to half a second later. `workers` has no part in it: without one,
    signals are still accepted and run later.

    `reason` says what is missing, in one sentence; it is empty while `status` is `ok`.
    """

    status: str
    reason: str
    database: bool
    redis: bool | Literal["read_only"]
    migrations: bool
    relay: bool
    workers: bool


_readiness_checks: Final = SingleFlight[Services, Readiness]()


@get("/health/live", media_type=MediaType.JSON, operation_id="checkLiveness", summary="The process runs")
async def live() -> dict[str, str]:
    return {"status": "ok"}


@get(
    "/health/ready",
    operation_id="checkReadiness",
    responses=response_specs(503, Readiness, "The process should get no traffic."),
    summary="The process should get traffic",
)
async def ready(services: AppServices) -> Response[Readiness]:
    # Once for all who ask meanwhile: anyone may ask, and must not take every connection to the database by that.
    readiness = await _readiness_checks.run(services, partial(check_readiness, services))
    return Response(readiness, status_code=503 if readiness.status == "unavailable" else 200)


async def check_readiness(services: Services) -> Readiness:
    # At the same time: a load balancer waits for the slowest check, not for all of them.
    database, migrations, redis_status, workers = await asyncio.gather(
        check(query_time(services.engine)),
        check(migrate.is_current(services.engine)),
        services.redis_monitor.check(),
        check(has_worker_heartbeat(services)),
    )
    relay = services.relay.is_reading
    refusal = explain_refusal(services, database=database, migrations=migrations)
    reason = refusal or explain_degradation(redis_status, relay=relay)
    return Readiness(
        status="unavailable" if refusal else "degraded" if reason else "ok",
        reason=reason,
        database=database,
        redis="read_only" if redis_status is RedisStatus.READ_ONLY else redis_status is RedisStatus.OK,
        migrations=migrations,
        relay=relay,
        workers=workers,
    )


def explain_refusal(services: Services, *, database: bool, migrations: bool) -> str:
    """Return why signals are refused; empty where they are accepted."""
    if not database:
        return "The database cannot be reached."
    if not migrations:
        return "The schema is missing or older than this version: run `signalhub migrate`."
    if not services.relay.is_started:
        return "The process is starting."
    return "The process is stopping." if services.connections.is_closing else ""


def explain_degradation(redis_status: RedisStatus, *, relay: bool) -> str:
    if redis_status is RedisStatus.READ_ONLY:
        return "Redis takes no writes."
    if redis_status is not RedisStatus.OK:
        return "Redis cannot be reached."
    return "" if relay else "The relay does not read from Redis yet."


@get(
    "/health",
    operation_id="checkHealth",
    middleware=[limit_database_time],
    summary="The service runs (older shape)",
)
async def health(services: AppServices) -> dict[str, str]:
    return {"status": "ok", "timestamp": format_timestamp(await query_time(services.engine))}


@get("/metrics", media_type=MediaType.TEXT, operation_id="getMetrics", summary="Prometheus metrics")
async def metrics() -> Response[bytes]:
    return Response(render_metrics(), media_type=CONTENT_TYPE_LATEST)


async def check(dependency: Awaitable[object]) -> bool:
    """Return whether `dependency` answers, in time, with a true value. Never raises for one that is down."""
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            return bool(await dependency)
    except (SQLAlchemyError, RedisError, OSError, TimeoutError):
        return False


async def has_worker_heartbeat(services: Services) -> bool:
    keys = await services.redis_keys.load()
    return bool(await services.redis.exists(keys.worker_heartbeat))


async def query_time(engine: AsyncEngine) -> datetime:
    async with engine.connect() as connection:
        time: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        return time


ROUTES: Final = Router(
    "/",
    route_handlers=[live, ready, health, metrics],
    security=PUBLIC,
    tags=["health"],
    before_request=validate_request,
    opt={"exclude_from_log": True},
)
