"""`signalhub doctor`: one check for each part of an installation, none of which raises."""

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
from db.engine import is_transient
from signalhub.cli.local_state import LocalState, complete_settings, require_settings
from signalhub.cli.output import format_command, print_json, print_line, summarize_error
from signalhub.cli.servers import require_broker
from signalhub.container import build_services
from signalhub.services.encryption import Encryption, EncryptionError
from signalhub.settings import Settings, from_env
from signalhub.streams.redis_state import RedisKeyLoader, find_write_error

_MAX_CLOCK_SKEW_S: Final = 1.0
_COOKIE_FIXES: Final = {(3, 11): (3, 11, 10), (3, 12): (3, 12, 6)}
"""The first release of each Python whose cookie parser takes linear time."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one check; `hint` says what to do where it is not `ok`."""

    name: str
    ok: bool
    said: str
    hint: str = ""


class DoctorContext(msgspec.Struct, frozen=True):
    """Subjects of the checks. `settings` are completed from a running `up`."""

    settings: Settings
    local_state: LocalState
    engine: AsyncEngine
    redis: Redis
    redis_keys: RedisKeyLoader


Check = Callable[[DoctorContext], Awaitable[CheckResult]]


async def check_python(_context: DoctorContext) -> CheckResult:
    """Name a Python whose `http.cookies` hangs on a hostile cookie. The service does not read cookies with it."""
    version = sys.version_info[:3]
    mended_in = _COOKIE_FIXES.get(version[:2], version)
    text = ".".join(map(str, version))
    if version < mended_in:
        text += (
            f"; its http.cookies is open to CVE-2024-7592 unless your distribution has mended it: the service does not"
            f" use it, but update to {'.'.join(map(str, mended_in))} or newer"
        )
    return CheckResult(name="python", ok=True, said=text)


async def check_files(context: DoctorContext) -> CheckResult:
    local_state = context.local_state
    if not local_state.data_dir.exists():
        return CheckResult(name="files", ok=True, said=f"{local_state.data_dir} does not exist, so nothing is embedded")
    paths = [local_state.data_dir, *(path for path in local_state.files.values() if path.exists())]
    readable_by_others = [str(path) for path in paths if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if readable_by_others:
        return CheckResult(
            name="files",
            ok=False,
            said="other users can read secrets",
            hint=f"chmod go= {' '.join(readable_by_others)}",
        )
    return CheckResult(name="files", ok=True, said=f"{local_state.data_dir} is private")


async def check_encryption(context: DoctorContext) -> CheckResult:
    try:
        Encryption(context.settings.encryption_keys)
    except EncryptionError as error:
        return CheckResult(name="encryption", ok=False, said=str(error), hint="Set SIGNALHUB_ENCRYPTION_KEYS.")
    count = context.settings.encryption_keys.count(",") + 1
    return CheckResult(name="encryption", ok=True, said=f"{count} key{'s' if count > 1 else ''}")


async def check_database(context: DoctorContext) -> CheckResult:
    started_at = time.perf_counter()
    try:
        async with context.engine.connect() as connection:
            version = (await connection.execute(text("SHOW server_version"))).scalar_one()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        hint = f"Start it with: {format_command('up')}, or check SIGNALHUB_DATABASE_URL and the server behind it."
        problem = "cannot be reached" if is_transient(error) else "refuses"
        return CheckResult(name="database", ok=False, said=f"{problem}: {summarize_error(error)}", hint=hint)
    return CheckResult(
        name="database", ok=True, said=f"PostgreSQL {version}, {_format_elapsed_ms(started_at)} to connect and query"
    )


async def check_migrations(context: DoctorContext) -> CheckResult:
    try:
        is_current = await migrate.is_current(context.engine)
    except (SQLAlchemyError, OSError, TimeoutError):
        return CheckResult(name="migrations", ok=False, said="unknown", hint="Fix the database first.")
    if not is_current:
        return CheckResult(
            name="migrations", ok=False, said="the schema is not up to date", hint=format_command("migrate")
        )
    return CheckResult(name="migrations", ok=True, said=f"revision {migrate.head_revision()}")


async def check_clock(context: DoctorContext) -> CheckResult:
    try:
        async with context.engine.connect() as connection:
            asked_at = datetime.now(UTC)
            database_time = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    except (SQLAlchemyError, OSError, TimeoutError):
        return CheckResult(name="clock", ok=False, said="unknown", hint="Fix the database first.")
    # Halfway between request and response is when the database read its clock.
    local_time = asked_at + (datetime.now(UTC) - asked_at) / 2
    skew_s = abs((database_time - local_time).total_seconds())
    message = f"{skew_s * 1000:.0f} ms from the database's"
    hint = "Orders follow the database's clock; signed hooks and key expiry follow this one: synchronise both by NTP."
    return CheckResult(name="clock", ok=skew_s < _MAX_CLOCK_SKEW_S, said=message, hint=hint)


async def check_redis(context: DoctorContext) -> CheckResult:
    started_at = time.perf_counter()
    try:
        await context.redis.ping()
        keys = await context.redis_keys.load()
        write_error = await find_write_error(context.redis, keys, keys.write_check)
    except SQLAlchemyError:
        write_error = None  # the names of the keys come from the database, which has a check of its own
    except (RedisError, OSError) as error:
        hint = (
            "Signals are still accepted, and run when it is back. Check SIGNALHUB_REDIS_URL and the server behind it."
        )
        return CheckResult(name="redis", ok=False, said=f"cannot be reached: {error}", hint=hint)
    if write_error is not None:
        hint = "Signals are still accepted. Give it memory, or a URL of the primary; see docs/operating.md, Health."
        return CheckResult(name="redis", ok=False, said=f"takes no writes: {write_error}", hint=hint)
    return CheckResult(name="redis", ok=True, said=f"answers in {_format_elapsed_ms(started_at)}")


async def check_web(context: DoctorContext) -> CheckResult:
    url = context.settings.url
    try:
        async with httpx.AsyncClient(timeout=3.0, trust_env=False) as http:
            response = await http.get(f"{url}/health/ready")
            readiness = msgspec.json.decode(response.content, type=dict[str, bool | str])
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError):
        return CheckResult(
            name="web",
            ok=False,
            said=f"nothing answers at {url}",
            hint=f"{format_command('up')}, or {format_command('web')}",
        )
    missing = [name for name, is_present in readiness.items() if is_present is False]
    if response.status_code != httpx.codes.OK:
        return CheckResult(name="web", ok=False, said=f"not ready; missing: {', '.join(missing)}", hint="See its log.")
    return CheckResult(name="web", ok=True, said=f"ready at {url}")


async def check_workers(context: DoctorContext) -> CheckResult:
    try:
        keys = await context.redis_keys.load()
        is_seen = bool(await context.redis.exists(keys.worker_heartbeat))
    except (RedisError, SQLAlchemyError, OSError, TimeoutError):
        return CheckResult(name="workers", ok=False, said="unknown", hint="Fix the database and Redis first.")
    if not is_seen:
        hint = f"{format_command('up')}, or {format_command('worker')}. Until one runs, orders wait."
        return CheckResult(name="workers", ok=False, said="none seen in the last 5 s", hint=hint)
    return CheckResult(name="workers", ok=True, said="seen in the last 5 s")


def _format_elapsed_ms(started_at: float) -> str:
    return f"{(time.perf_counter() - started_at) * 1000:.0f} ms"


ALL_CHECKS: Final[Sequence[Check]] = (
    check_python,
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
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each check.")
def doctor(*, as_json: bool) -> None:
    """Check settings, files, database, schema, clock, Redis, web and workers. Exit status 1 where a check fails."""
    settings = require_settings(complete_settings(require_broker(from_env(os.environ))), "database_url", "redis_url")
    results = [CheckResult(name="settings", ok=True, said="valid"), *asyncio.run(_run_checks(settings))]
    for result in results:
        if as_json:
            print_json(result)
        else:
            _print_result(result)
    if not all(result.ok for result in results):
        sys.exit(1)


async def _run_checks(settings: Settings) -> list[CheckResult]:
    services = build_services(settings, "cli")
    context = DoctorContext(
        settings, LocalState(settings.data_dir), services.engine, services.redis, services.redis_keys
    )
    try:
        return [await check(context) for check in ALL_CHECKS]
    finally:
        await services.close()


def _print_result(result: CheckResult) -> None:
    verdict = click.style("ok  ", fg="green") if result.ok else click.style("fail", fg="red", bold=True)
    print_line(f"{verdict}  {result.name:<11} {result.said}")
    if not result.ok:
        print_line(f"      {'':<11} {click.style('→ ' + result.hint, fg='yellow')}")
