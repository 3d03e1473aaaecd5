"""`signalhub epoch`: which incarnation of the log this is."""

import os

import click

from db import epoch as epochs
from signalhub import settings
from signalhub.cli.home import complete_settings
from signalhub.cli.office import ServiceContext, run_with_services
from signalhub.cli.output import print_line


@click.group()
def epoch() -> None:
    """Say that the log was restored from a backup."""


@epoch.command()
def renew() -> None:
    """Begin a new epoch: every client's place in the log is void, and it is told so.

    Needed after a data directory was copied back from a backup in place. A restore into another database cluster, or
    a standby that took over, is noticed without this. Running web processes notice it within seconds.
    """

    async def work(office: ServiceContext) -> str:
        async with office.engine.begin() as connection:
            return await epochs.get_or_create(connection, renew=True)

    print_line(f"The epoch is now {run_with_services(complete_settings(settings.from_env(os.environ)), work)}.")
