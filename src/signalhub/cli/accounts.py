"""`signalhub account` and `signalhub epoch`: administration that needs the database, and no API key."""

import os
import secrets
from pathlib import Path

import click

from db import epoch as epochs
from signalhub.cli.local_state import complete_settings
from signalhub.cli.output import print_json, print_line
from signalhub.cli.services import run_with_services
from signalhub.container import Services
from signalhub.services.accounts import Registered, Registration
from signalhub.settings import from_env


@click.group()
def account() -> None:
    """Create accounts. Works on the database, so it needs no API key and no open registration."""


@account.command()
@click.argument("username")
@click.option("--broker", default="mock", show_default=True, help="The broker of its first broker account.")
@click.option("--number", default="1", show_default=True, help="The account's number at the broker.")
@click.option("--secret-file", type=click.Path(dir_okay=False, path_type=Path), help="Holds the broker's API key.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def create(username: str, *, broker: str, number: str, secret_file: Path | None, as_json: bool) -> None:
    """Create an account and print its first API key, once."""
    try:
        registration = Registration(
            username=username, broker_name=broker, account_id=number, api_key=_read_secret(secret_file)
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None

    async def register(services: Services) -> Registered:
        return await services.accounts.register(registration)

    registered = run_with_services(complete_settings(from_env(os.environ)), register)
    if as_json:
        print_json(registered)
        return
    print_line(f"Account {registered.user.username} ({registered.user.id}).")
    print_line(f"  API key  {registered.api_key}\n           {click.style('shown this once', dim=True)}")


def _read_secret(path: Path | None) -> str:
    """Read the broker's key from a file: every process can read a command line. The mock broker needs none."""
    if path is None:
        return secrets.token_urlsafe(24)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}.") from None


@click.group()
def epoch() -> None:
    """Start a new log epoch after restoring a backup."""


@epoch.command()
def renew() -> None:
    """Start a new epoch: the cursors of all clients become invalid, and their streams say so.

    Needed after a data directory was restored from a backup in place. A restore into another database cluster, or a
    standby that took over, is detected without this. Running web processes notice it within seconds.
    """

    async def renew_epoch(services: Services) -> str:
        async with services.engine.begin() as connection:
            return await epochs.get_or_create(connection, renew=True)

    print_line(f"The epoch is now {run_with_services(complete_settings(from_env(os.environ)), renew_epoch)}.")
