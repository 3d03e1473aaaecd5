"""Liveness, readiness and Prometheus metrics."""

import asyncio
from collections.abc import Awaitable
from typing import Final

import msgspec
from litestar import MediaType, Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from db import migrate
from signalhub.container import Services
from signalhub.domain.events import format_timestamp
from signalhub.jobs import WORKER_HEARTBEAT_KEY
from signalhub.metrics import render as render_metrics
from signalhub.web.dependencies import AppServices
from signalhub.web.openapi import PUBLIC, response_specs

_CHECK_TIMEOUT_S: Final = 1.5


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """`workers` does not count: without one, signals are still accepted and run later."""

    status: str
    database: bool
    redis: bool
    migrations: bool
    relay: bool
    workers: bool


@get("/health/live", media_type=MediaType.JSON, summary="The process runs")
async def live() -> dict[str, str]:
    return {"status": "ok"}


@get(
    "/health/ready",
    responses=response_specs(503, Readiness, "It should not."),
    summary="The process should get traffic",
)
async def ready(services: AppServices) -> Response[Readiness]:
    database, migrations, redis, workers = await asyncio.gather(
        _check_passes(_check_database(services)),
        _check_passes(migrate.is_current(services.engine)),
        _check_passes(_check_redis(services)),
        _check_passes(_check_workers(services)),
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


@get("/health", summary="The service runs (older shape)")
async def health(services: AppServices) -> dict[str, str]:
    async with services.engine.connect() as connection:
        now = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return {"status": "ok", "timestamp": format_timestamp(now)}


@get("/metrics", media_type=MediaType.TEXT, summary="Prometheus metrics")
async def metrics() -> Response[bytes]:
    return Response(render_metrics(), media_type=CONTENT_TYPE_LATEST)


async def _check_passes(check: Awaitable[bool]) -> bool:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            return await check
    except (SQLAlchemyError, RedisError, OSError, TimeoutError):
        return False


async def _check_database(services: Services) -> bool:
    async with services.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    return True


async def _check_redis(services: Services) -> bool:
    return bool(await services.redis.ping())


async def _check_workers(services: Services) -> bool:
    return bool(await services.redis.exists(WORKER_HEARTBEAT_KEY))


ROUTES: Final = Router(
    "/",
    route_handlers=[live, ready, health, metrics],
    security=PUBLIC,
    tags=["health"],
    opt={"exclude_from_log": True},
)
