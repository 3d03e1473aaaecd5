"""The services, opened on the database for the length of one command.

Events that a command causes are not announced over Redis: the web processes compare their logs with the database every
few seconds and pass on what they find there, and a command that only needs PostgreSQL works while Redis is away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import click
import msgspec
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import create_engine
from signalhub.cli.local_state import DEFAULT_ACCOUNT, require_settings
from signalhub.cli.output import summarize_error
from signalhub.domain.events import Event
from signalhub.services.accounts import Accounts
from signalhub.services.auth import Authenticator
from signalhub.services.credentials import ApiKeys, Hooks
from signalhub.services.encryption import Encryption, EncryptionError
from signalhub.services.tickets import Tickets
from signalhub.settings import Settings

ResultT = TypeVar("ResultT")


class ServiceContext(msgspec.Struct, frozen=True):
    settings: Settings
    engine: AsyncEngine
    accounts: Accounts
    keys: ApiKeys
    hooks: Hooks
    tickets: Tickets
    authenticator: Authenticator

    async def require_account_id(self, username: str) -> str:
        found = await self.accounts.find_account_id(username)
        if found is None:
            hint = (
                "" if username != DEFAULT_ACCOUNT else " Name one with --account, or make it: signalhub account create."
            )
            raise click.ClickException(f"There is no account {username!r}.{hint}")
        return found


def run_with_services(settings: Settings, operation: Callable[[ServiceContext], Awaitable[ResultT]]) -> ResultT:
    """Do `work` with the services open. What can be expected to go wrong ends in a sentence."""
    require_settings(settings, "database_url", "encryption_keys")
    try:
        return asyncio.run(_run(settings, operation))
    except EncryptionError as error:
        raise click.ClickException(str(error)) from None
    except ProgrammingError as error:
        raise click.ClickException(
            f"The schema is not up to date ({summarize_error(error)}): signalhub migrate."
        ) from None
    except (DBAPIError, OSError, TimeoutError) as error:
        raise click.ClickException(f"The database cannot be reached: {summarize_error(error)}") from None


async def _run(settings: Settings, operation: Callable[[ServiceContext], Awaitable[ResultT]]) -> ResultT:
    async with open_services(settings) as office:
        return await operation(office)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[ServiceContext]:
    engine, vault = create_engine(settings.database_url), Encryption(settings.encryption_keys)
    try:
        yield ServiceContext(
            settings=settings,
            engine=engine,
            accounts=Accounts(engine, vault, _skip_publish),
            keys=ApiKeys(engine, _skip_publish),
            hooks=Hooks(engine, vault, _skip_publish),
            tickets=Tickets(engine),
            authenticator=Authenticator(engine),
        )
    finally:
        await engine.dispose()


def _skip_publish(_events: Sequence[Event], _due: Sequence[str]) -> None: ...
