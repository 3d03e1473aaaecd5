"""The checks of `signalhub doctor`: each asks one thing and never raises."""

import stat
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import httpx
import msgspec
from redis import RedisError
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from db import migrate
from signalhub.cli.home import Home
from signalhub.cli.plainly import plainly
from signalhub.jobs import WORKER_SEEN
from signalhub.services.vault import Vault, VaultError
from signalhub.settings import Settings

_MOST_SKEW_S: Final = 1.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`hint` says what to do where it is not `ok`."""

    name: str
    ok: bool
    said: str
    hint: str = ""


class Patient(msgspec.Struct, frozen=True):
    """What is looked at. `settings` are completed by what a running `up` knows."""

    settings: Settings
    home: Home
    engine: AsyncEngine
    redis: Redis


Check = Callable[[Patient], Awaitable[Finding]]


async def files(patient: Patient) -> Finding:
    home = patient.home
    if not home.data_dir.exists():
        return Finding(name="files", ok=True, said=f"{home.data_dir} is not there, so nothing is embedded")
    paths = [home.data_dir, *(path for path in home.files.values() if path.exists())]
    loose = [str(path) for path in paths if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if loose:
        return Finding(name="files", ok=False, said="others may read secrets", hint=f"chmod go= {' '.join(loose)}")
    return Finding(name="files", ok=True, said=f"{home.data_dir} is closed to others")


async def encryption(patient: Patient) -> Finding:
    try:
        Vault(patient.settings.encryption_keys)
    except VaultError as error:
        return Finding(name="encryption", ok=False, said=str(error), hint="Set SIGNALHUB_ENCRYPTION_KEYS.")
    count = patient.settings.encryption_keys.count(",") + 1
    return Finding(name="encryption", ok=True, said=f"{count} key{'s' if count > 1 else ''}")


async def database(patient: Patient) -> Finding:
    began = time.perf_counter()
    try:
        async with patient.engine.connect() as connection:
            version = (await connection.execute(text("SHOW server_version"))).scalar_one()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        hint = "Start `signalhub up`, or check SIGNALHUB_DATABASE_URL and the server behind it."
        return Finding(name="database", ok=False, said=f"cannot be reached: {plainly(error)}", hint=hint)
    return Finding(name="database", ok=True, said=f"PostgreSQL {version}, {_ms(began)} to connect and ask")


async def migrations(patient: Patient) -> Finding:
    try:
        is_current = await migrate.is_current(patient.engine)
    except (SQLAlchemyError, OSError, TimeoutError):
        return Finding(name="migrations", ok=False, said="not known", hint="The database comes first.")
    if not is_current:
        return Finding(name="migrations", ok=False, said="the schema is not up to date", hint="signalhub migrate")
    return Finding(name="migrations", ok=True, said=f"revision {migrate.newest()}")


async def clock(patient: Patient) -> Finding:
    try:
        async with patient.engine.connect() as connection:
            began = datetime.now(UTC)
            theirs = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    except (SQLAlchemyError, OSError, TimeoutError):
        return Finding(name="clock", ok=False, said="not known", hint="The database comes first.")
    ours = began + (datetime.now(UTC) - began) / 2
    skew_s = abs((theirs - ours).total_seconds())
    said = f"{skew_s * 1000:.0f} ms from the database's"
    hint = "Orders follow the database's clock; signed hooks and keys' expiry follow this one: set it by NTP."
    return Finding(name="clock", ok=skew_s < _MOST_SKEW_S, said=said, hint=hint)


async def redis(patient: Patient) -> Finding:
    began = time.perf_counter()
    try:
        await patient.redis.ping()
    except (RedisError, OSError) as error:
        hint = "Signals are still taken, and run when it is back. Check SIGNALHUB_REDIS_URL and the server behind it."
        return Finding(name="redis", ok=False, said=f"cannot be reached: {error}", hint=hint)
    return Finding(name="redis", ok=True, said=f"answers in {_ms(began)}")


async def web(patient: Patient) -> Finding:
    url = patient.settings.url
    try:
        async with httpx.AsyncClient(timeout=3.0, trust_env=False) as http:
            answer = await http.get(f"{url}/health/ready")
            told = msgspec.json.decode(answer.content, type=dict[str, bool | str])
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError):
        return Finding(name="web", ok=False, said=f"nothing answers at {url}", hint="signalhub up, or signalhub web")
    lacks = [name for name, holds in told.items() if holds is False]
    if answer.status_code != httpx.codes.OK:
        return Finding(name="web", ok=False, said=f"not ready; lacks {', '.join(lacks)}", hint="See its log.")
    return Finding(name="web", ok=True, said=f"ready at {url}")


async def workers(patient: Patient) -> Finding:
    try:
        is_seen = bool(await patient.redis.exists(WORKER_SEEN))
    except (RedisError, OSError):
        return Finding(name="workers", ok=False, said="not known", hint="Redis comes first.")
    if not is_seen:
        hint = "signalhub up, or signalhub worker. Until then orders wait."
        return Finding(name="workers", ok=False, said="none was seen in the last 5 s", hint=hint)
    return Finding(name="workers", ok=True, said="seen in the last 5 s")


def _ms(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


ALL: Final[Sequence[Check]] = (files, encryption, database, migrations, clock, redis, web, workers)
