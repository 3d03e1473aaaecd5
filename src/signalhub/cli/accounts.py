"""`signalhub account`: accounts, made by whoever can reach the database.

`signalhub epoch`: which incarnation of the log this is.
"""

import os
import secrets
from pathlib import Path

import click

from db import epoch as epochs
from signalhub import settings
from signalhub.cli.context import ServiceContext, run_with_services
from signalhub.cli.local_state import complete_settings
from signalhub.cli.output import print_json, print_line
from signalhub.services.accounts import Registered, Registration


@click.group()
def account() -> None:
    """Make accounts. Works on the database, so it needs no key and no open registration."""


@account.command()
@click.argument("username")
@click.option("--broker", default="mock", show_default=True, help="The broker of its first broker account.")
@click.option("--number", default="1", show_default=True, help="The account's number at the broker.")
@click.option("--secret-file", type=click.Path(dir_okay=False, path_type=Path), help="Holds the broker's API key.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def create(username: str, *, broker: str, number: str, secret_file: Path | None, as_json: bool) -> None:
    """Make an account and print its first API key, once."""
    try:
        wish = Registration(username=username, broker_name=broker, account_id=number, api_key=_read_secret(secret_file))
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None

    async def work(office: ServiceContext) -> Registered:
        return await office.accounts.register(wish)

    made = run_with_services(complete_settings(settings.from_env(os.environ)), work)
    if as_json:
        print_json(made)
        return
    print_line(f"Account {made.user.username} ({made.user.id}).")
    print_line(f"  API key  {made.api_key}\n           {click.style('shown this once', dim=True)}")


def _read_secret(path: Path | None) -> str:
    """From a file, never from the command line, where every process can read it. The mock broker needs none."""
    if path is None:
        return secrets.token_urlsafe(24)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}.") from None


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
