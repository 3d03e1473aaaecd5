"""`migrate`, and the wait for a database that starts at the same time as we do."""

import asyncio
import os

import click
from sqlalchemy.exc import DBAPIError

from db.engine import create_engine
from db.migrate import upgrade
from signalhub import settings
from signalhub.cli.home import complete_settings
from signalhub.cli.needs import require_settings
from signalhub.cli.plainly import summarize_error


@click.command()
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the database.")
def migrate(wait: float) -> None:
    """Bring the database's schema up to date.

    Safe to run from many machines at once: one does it, the others wait.
    """
    found = require_settings(complete_settings(settings.from_env(os.environ)), "database_url")
    revision = asyncio.run(upgrade_schema(found.database_url, wait))
    click.echo(f"The schema is at revision {revision}.")


async def upgrade_schema(database_url: str, timeout_s: float) -> str:
    """The revision reached. A database that refuses is asked again for `wait_s`: it may still be starting."""
    engine = create_engine(database_url, statement_timeout_s=None)
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        while True:
            try:
                return await upgrade(engine)
            except (OSError, DBAPIError, TimeoutError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise click.ClickException(
                        f"The database cannot be reached or refuses: {summarize_error(error)}"
                    ) from None
                await asyncio.sleep(0.5)
    finally:
        await engine.dispose()
