"""The checks of `signalhub doctor`: each asks one thing and never raises.

`signalhub doctor`: is everything as it should be, and if not, what to do.
"""

import asyncio
import os
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import click
import httpx
import msgspec
from redis import RedisError
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import migrate
from signalhub import settings
from signalhub.cli.local_state import LocalState, complete_settings, require_broker, require_settings
from signalhub.cli.output import print_json, print_line, summarize_error
from signalhub.container import build_services
from signalhub.jobs import WORKER_HEARTBEAT_KEY
from signalhub.services.encryption import Encryption, EncryptionError
from signalhub.settings import Settings

_MAX_CLOCK_SKEW_S: Final = 1.0


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """`hint` says what to do where it is not `ok`."""

    name: str
    ok: bool
    said: str
    hint: str = ""


class DoctorContext(msgspec.Struct, frozen=True):
    """What is looked at. `settings` are completed by what a running `up` knows."""

    settings: Settings
    local_state: LocalState
    engine: AsyncEngine
    redis: Redis


Check = Callable[[DoctorContext], Awaitable[CheckResult]]


async def check_files(context: DoctorContext) -> CheckResult:
    home = context.local_state
    if not home.data_dir.exists():
        return CheckResult(name="files", ok=True, said=f"{home.data_dir} is not there, so nothing is embedded")
    paths = [home.data_dir, *(path for path in home.files.values() if path.exists())]
    loose = [str(path) for path in paths if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if loose:
        return CheckResult(name="files", ok=False, said="others may read secrets", hint=f"chmod go= {' '.join(loose)}")
    return CheckResult(name="files", ok=True, said=f"{home.data_dir} is closed to others")


async def check_encryption(context: DoctorContext) -> CheckResult:
    try:
        Encryption(context.settings.encryption_keys)
    except EncryptionError as error:
        return CheckResult(name="encryption", ok=False, said=str(error), hint="Set SIGNALHUB_ENCRYPTION_KEYS.")
    count = context.settings.encryption_keys.count(",") + 1
    return CheckResult(name="encryption", ok=True, said=f"{count} key{'s' if count > 1 else ''}")


async def check_database(context: DoctorContext) -> CheckResult:
    began = time.perf_counter()
    try:
        async with context.engine.connect() as connection:
            version = (await connection.execute(text("SHOW server_version"))).scalar_one()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        hint = "Start `signalhub up`, or check SIGNALHUB_DATABASE_URL and the server behind it."
        return CheckResult(name="database", ok=False, said=f"cannot be reached: {summarize_error(error)}", hint=hint)
    return CheckResult(
        name="database", ok=True, said=f"PostgreSQL {version}, {_format_elapsed_ms(began)} to connect and ask"
    )


async def check_migrations(context: DoctorContext) -> CheckResult:
    try:
        is_current = await migrate.is_current(context.engine)
    except (SQLAlchemyError, OSError, TimeoutError):
        return CheckResult(name="migrations", ok=False, said="not known", hint="The database comes first.")
    if not is_current:
        return CheckResult(name="migrations", ok=False, said="the schema is not up to date", hint="signalhub migrate")
    return CheckResult(name="migrations", ok=True, said=f"revision {migrate.head_revision()}")


async def check_clock(context: DoctorContext) -> CheckResult:
    try:
        async with context.engine.connect() as connection:
            began = datetime.now(UTC)
            theirs = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    except (SQLAlchemyError, OSError, TimeoutError):
        return CheckResult(name="clock", ok=False, said="not known", hint="The database comes first.")
    ours = began + (datetime.now(UTC) - began) / 2
    skew_s = abs((theirs - ours).total_seconds())
    said = f"{skew_s * 1000:.0f} ms from the database's"
    hint = "Orders follow the database's clock; signed hooks and keys' expiry follow this one: set it by NTP."
    return CheckResult(name="clock", ok=skew_s < _MAX_CLOCK_SKEW_S, said=said, hint=hint)


async def check_redis(context: DoctorContext) -> CheckResult:
    began = time.perf_counter()
    try:
        await context.redis.ping()
    except (RedisError, OSError) as error:
        hint = "Signals are still taken, and run when it is back. Check SIGNALHUB_REDIS_URL and the server behind it."
        return CheckResult(name="redis", ok=False, said=f"cannot be reached: {error}", hint=hint)
    return CheckResult(name="redis", ok=True, said=f"answers in {_format_elapsed_ms(began)}")


async def check_web(context: DoctorContext) -> CheckResult:
    url = context.settings.url
    try:
        async with httpx.AsyncClient(timeout=3.0, trust_env=False) as http:
            answer = await http.get(f"{url}/health/ready")
            told = msgspec.json.decode(answer.content, type=dict[str, bool | str])
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError):
        return CheckResult(
            name="web", ok=False, said=f"nothing answers at {url}", hint="signalhub up, or signalhub web"
        )
    lacks = [name for name, holds in told.items() if holds is False]
    if answer.status_code != httpx.codes.OK:
        return CheckResult(name="web", ok=False, said=f"not ready; lacks {', '.join(lacks)}", hint="See its log.")
    return CheckResult(name="web", ok=True, said=f"ready at {url}")


async def check_workers(context: DoctorContext) -> CheckResult:
    try:
        is_seen = bool(await context.redis.exists(WORKER_HEARTBEAT_KEY))
    except (RedisError, OSError):
        return CheckResult(name="workers", ok=False, said="not known", hint="Redis comes first.")
    if not is_seen:
        hint = "signalhub up, or signalhub worker. Until then orders wait."
        return CheckResult(name="workers", ok=False, said="none was seen in the last 5 s", hint=hint)
    return CheckResult(name="workers", ok=True, said="seen in the last 5 s")


def _format_elapsed_ms(started_at: float) -> str:
    return f"{(time.perf_counter() - started_at) * 1000:.0f} ms"


ALL_CHECKS: Final[Sequence[Check]] = (
    check_files,
    check_encryption,
    check_database,
    check_migrations,
    check_clock,
    check_redis,
    check_web,
    check_workers,
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a check.")
def doctor(*, as_json: bool) -> None:
    """Check settings, files, database, schema, Redis, web, workers and clocks. Exit status 1 where one is not well."""
    found = require_settings(
        complete_settings(require_broker(settings.from_env(os.environ))), "database_url", "redis_url"
    )
    findings = [CheckResult(name="settings", ok=True, said="understood"), *asyncio.run(_run_checks(found))]
    for finding in findings:
        if as_json:
            print_json(finding)
        else:
            _print_result(finding)
    if not all(finding.ok for finding in findings):
        sys.exit(1)


async def _run_checks(found: Settings) -> list[CheckResult]:
    services = build_services(found, "cli")
    patient = DoctorContext(found, LocalState(found.data_dir), services.engine, services.redis)
    try:
        return [await check(patient) for check in ALL_CHECKS]
    finally:
        await services.close()


def _print_result(result: CheckResult) -> None:
    verdict = click.style("ok  ", fg="green") if result.ok else click.style("fail", fg="red", bold=True)
    print_line(f"{verdict}  {result.name:<11} {result.said}")
    if not result.ok:
        print_line(f"      {'':<11} {click.style('→ ' + result.hint, fg='yellow')}")
