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
from signalhub.cli.home import FIRST_ACCOUNT
from signalhub.cli.needs import require
from signalhub.cli.plainly import plainly
from signalhub.domain.events import Event
from signalhub.services.accounts import Accounts
from signalhub.services.hooks import Hooks
from signalhub.services.keyring import Keyring
from signalhub.services.keys import Keys
from signalhub.services.tickets import Tickets
from signalhub.services.vault import Vault, VaultError
from signalhub.settings import Settings

Done = TypeVar("Done")


class Office(msgspec.Struct, frozen=True):
    settings: Settings
    engine: AsyncEngine
    accounts: Accounts
    keys: Keys
    hooks: Hooks
    tickets: Tickets
    keyring: Keyring

    async def account_id(self, username: str) -> str:
        found = await self.accounts.find(username)
        if found is None:
            hint = (
                "" if username != FIRST_ACCOUNT else " Name one with --account, or make it: signalhub account create."
            )
            raise click.ClickException(f"There is no account {username!r}.{hint}")
        return found


def at_the_office(found: Settings, work: Callable[[Office], Awaitable[Done]]) -> Done:
    """Do `work` with the services open. What can be expected to go wrong ends in a sentence."""
    require(found, "database_url", "encryption_keys")
    try:
        return asyncio.run(_work(found, work))
    except VaultError as error:
        raise click.ClickException(str(error)) from None
    except ProgrammingError as error:
        raise click.ClickException(f"The schema is not up to date ({plainly(error)}): signalhub migrate.") from None
    except (DBAPIError, OSError, TimeoutError) as error:
        raise click.ClickException(f"The database cannot be reached: {plainly(error)}") from None


async def _work(found: Settings, work: Callable[[Office], Awaitable[Done]]) -> Done:
    async with opened(found) as office:
        return await work(office)


@asynccontextmanager
async def opened(found: Settings) -> AsyncIterator[Office]:
    engine, vault = create_engine(found.database_url), Vault(found.encryption_keys)
    try:
        yield Office(
            settings=found,
            engine=engine,
            accounts=Accounts(engine, vault, _unannounced),
            keys=Keys(engine, _unannounced),
            hooks=Hooks(engine, vault, _unannounced),
            tickets=Tickets(engine),
            keyring=Keyring(engine),
        )
    finally:
        await engine.dispose()


def _unannounced(_events: Sequence[Event], _due: Sequence[str]) -> None: ...
