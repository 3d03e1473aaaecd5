"""Open the services on the database for the length of one command.

Events that a command appends are not published over Redis: the web processes compare their logs with the database every
few seconds and deliver what they find there. So a command works while Redis is down.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import click
from sqlalchemy.exc import DBAPIError, ProgrammingError

from signalhub.cli.local_state import DEFAULT_ACCOUNT, require_settings
from signalhub.cli.output import format_command, summarize_error
from signalhub.container import Services, build_services
from signalhub.services.encryption import EncryptionError
from signalhub.settings import Settings

ResultT = TypeVar("ResultT")


async def require_account_id(services: Services, username: str) -> str:
    """Return the id of the account. Raises ClickException where there is none."""
    account_id = await services.accounts.find_account_id(username)
    if account_id is None:
        command = format_command("account create")
        hint = "" if username != DEFAULT_ACCOUNT else f" Name one with --account, or make it: {command}."
        raise click.ClickException(f"There is no account {username!r}.{hint}")
    return account_id


def run_with_services(settings: Settings, operation: Callable[[Services], Awaitable[ResultT]]) -> ResultT:
    """Run `operation` with the services open. Expected failures raise ClickException with a sentence."""
    require_settings(settings, "database_url", "encryption_keys")

    async def run_operation() -> ResultT:
        async with open_services(settings) as services:
            return await operation(services)

    try:
        return asyncio.run(run_operation())
    except EncryptionError as error:
        raise click.ClickException(str(error)) from None
    except ProgrammingError as error:
        raise click.ClickException(
            f"The schema is not up to date ({summarize_error(error)}): {format_command('migrate')}."
        ) from None
    except (DBAPIError, OSError, TimeoutError) as error:
        raise click.ClickException(f"The database cannot be reached: {summarize_error(error)}") from None


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    services = build_services(settings, "cli")
    try:
        yield services
    finally:
        await services.close()
