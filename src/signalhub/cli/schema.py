"""`migrate`, and the wait for a database that starts at the same time as we do."""

import asyncio
import os

import click
from sqlalchemy.exc import DBAPIError

from db.engine import create_engine
from db.migrate import upgrade
from signalhub import settings
from signalhub.cli.home import completed
from signalhub.cli.needs import require
from signalhub.cli.plainly import plainly


@click.command()
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the database.")
def migrate(wait: float) -> None:
    """Bring the database's schema up to date.

    Safe to run from many machines at once: one does it, the others wait.
    """
    found = require(completed(settings.from_env(os.environ)), "database_url")
    revision = asyncio.run(brought_up_to_date(found.database_url, wait))
    click.echo(f"The schema is at revision {revision}.")


async def brought_up_to_date(database_url: str, wait_s: float) -> str:
    """The revision reached. A database that refuses is asked again for `wait_s`: it may still be starting."""
    engine = create_engine(database_url, statement_timeout_s=None)
    deadline = asyncio.get_running_loop().time() + wait_s
    try:
        while True:
            try:
                return await upgrade(engine)
            except (OSError, DBAPIError, TimeoutError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise click.ClickException(f"The database cannot be reached or refuses: {plainly(error)}") from None
                await asyncio.sleep(0.5)
    finally:
        await engine.dispose()
