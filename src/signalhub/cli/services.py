"""Open the services on the database for the length of one command.

Events that a command appends are not published over Redis: the web processes compare their logs with the database every
few seconds and deliver what they find there. So a command works while Redis is down.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

import click
from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError

from db.engine import is_transient
from signalhub import logging_setup
from signalhub.cli.local_state import DEFAULT_ACCOUNT, require_settings
from signalhub.cli.output import format_command, get_color, summarize_error
from signalhub.container import Services, build_services
from signalhub.services.encryption import EncryptionError
from signalhub.settings import Secret, Settings

ResultT = TypeVar("ResultT")


_UNDEFINED_SQLSTATES: Final = {"42P01", "42703"}  # a table or a column that a missing migration would create


def describe_database_error(error: Exception) -> str:
    """Return a sentence that tells a database that is away from one that refuses, and from one without its schema."""
    if is_transient(error):
        return f"The database cannot be reached: {summarize_error(error)}."
    if getattr(getattr(error, "orig", None), "sqlstate", None) in _UNDEFINED_SQLSTATES:
        return f"The schema is not up to date ({summarize_error(error)}): {format_command('migrate')}."
    return f"The database refuses: {summarize_error(error)}."


async def require_account_id(services: Services, username: str) -> str:
    """Return the id of the account. Raises ClickException where there is none."""
    account_id = await services.accounts.find_account_id(username)
    if account_id is None:
        command = format_command("account create")
        hint = "" if username != DEFAULT_ACCOUNT else f" Name one with --account, or make it: {command}."
        raise click.ClickException(f"There is no account {username!r}.{hint}")
    return account_id


def run_with_services(
    settings: Settings,
    operation: Callable[[Services], Awaitable[ResultT]],
    *,
    required: Sequence[str] = ("database_url", "encryption_keys"),
) -> ResultT:
    """Run `operation` with the services open. Expected failures raise ClickException with a sentence."""
    require_settings(settings, *required)

    async def run_operation() -> ResultT:
        async with open_services(settings) as services:
            return await operation(services)

    try:
        return asyncio.run(run_operation())
    except EncryptionError as error:
        raise click.ClickException(str(error)) from None
    except (DBAPIError, OSError, TimeoutError) as error:
        raise click.ClickException(describe_database_error(error)) from None


@contextmanager
def start_stopped_database(settings: Settings, *, creates: bool = False) -> Iterator[Settings]:
    """Yield the settings with a database: if none is set or running, the stopped embedded one, started for the block.

    Where there is none, it is created with `creates`, and otherwise the setting stays empty. Raises ClickException
    where it cannot be started.
    """
    if settings.database_url or not (creates or (settings.data_dir / "postgres").exists()):
        yield settings
        return
    from signalhub.embedded import EmbeddedError  # noqa: PLC0415 - an extra, which other commands do not need
    from signalhub.embedded.postgres import Postgres  # noqa: PLC0415 - the same

    logging_setup.configure("warning", settings.log_format, color=get_color())
    try:
        with Postgres(settings.data_dir.absolute()) as postgres:
            yield replace(settings, database_url=Secret(postgres.url))
    except EmbeddedError as error:
        raise click.ClickException(str(error)) from None


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    services = build_services(settings, "cli")
    try:
        yield services
    finally:
        await services.close()
