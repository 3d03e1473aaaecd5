"""Liveness, readiness and Prometheus metrics."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from typing import Final

import msgspec
from litestar import MediaType, Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import migrate
from signalhub.domain.events import format_timestamp
from signalhub.jobs import WORKER_HEARTBEAT_KEY
from signalhub.shared_metrics import render as render_metrics
from signalhub.web.dependencies import AppServices
from signalhub.web.openapi import PUBLIC, response_specs

_CHECK_TIMEOUT_S: Final = 1.5


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """`workers` has no part in `status`: without one, signals are still accepted and run later."""

    status: str
    database: bool
    redis: bool
    migrations: bool
    relay: bool
    workers: bool


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
    # At the same time: a load balancer waits for the slowest check, not for all of them.
    database, migrations, redis, workers = await asyncio.gather(
        check(query_time(services.engine)),
        check(migrate.is_current(services.engine)),
        check(services.redis.ping()),
        check(services.redis.exists(WORKER_HEARTBEAT_KEY)),
    )
    relay = services.relay.is_reading
    is_ready = database and migrations and redis and relay and not services.connections.is_closing
    body = Readiness(
        status="ok" if is_ready else "unavailable",
        database=database,
        redis=redis,
        migrations=migrations,
        relay=relay,
        workers=workers,
    )
    return Response(body, status_code=200 if is_ready else 503)


@get("/health", operation_id="checkHealth", summary="The service runs (older shape)")
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


async def query_time(engine: AsyncEngine) -> datetime:
    async with engine.connect() as connection:
        time: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        return time


ROUTES: Final = Router(
    "/",
    route_handlers=[live, ready, health, metrics],
    security=PUBLIC,
    tags=["health"],
    opt={"exclude_from_log": True},
)
