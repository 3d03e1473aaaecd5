"""`signalhub account`, `open` and `epoch`: administration that needs the database, and no API key."""

import os
import secrets
import sys
from pathlib import Path

import click

from db import epoch as epochs
from signalhub.cli.keys import format_time
from signalhub.cli.local_state import complete_settings
from signalhub.cli.output import json_option, print_json, print_line
from signalhub.cli.services import run_with_services, start_stopped_database
from signalhub.cli.tables import print_table
from signalhub.container import Services
from signalhub.domain import identifiers
from signalhub.services.accounts import AccountView, Registered, Registration
from signalhub.services.tickets import SIGN_IN_TTL_S
from signalhub.settings import from_env


@click.group()
def account() -> None:
    """Create and list accounts. Works on the database, so it needs no API key and no open registration."""


@account.command()
@click.argument("username")
@click.option("--broker", default="mock", show_default=True, help="The broker of its first broker account.")
@click.option("--number", default="1", show_default=True, help="The account's number at the broker.")
@click.option("--secret-file", type=click.Path(dir_okay=False, path_type=Path), help="Holds the broker's API key.")
@json_option
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


@account.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the accounts, the oldest first."""

    async def list_accounts(services: Services) -> list[AccountView]:
        return await services.accounts.list_all()

    accounts = run_with_services(complete_settings(from_env(os.environ)), list_accounts)
    if as_json:
        print_json(accounts)
        return
    rows = [(row.username, row.id, format_time(row.created_at), str(row.last_seq)) for row in accounts]
    print_table(("ACCOUNT", "ID", "CREATED", "EVENTS"), rows, dropped_first=("CREATED", "EVENTS"))


def _read_secret(path: Path | None) -> str:
    """Read the broker's key from a file: every process can read a command line. The mock broker needs none."""
    if path is None:
        return secrets.token_urlsafe(24)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}.") from None


@click.command("open")
@click.option("--print", "only_print", is_flag=True, help="Print the link and open nothing.")
@json_option
def open_(*, only_print: bool, as_json: bool) -> None:
    """Open the dashboard in a browser, and print the link.

    Where the database of the service is within reach, as beside `signalhub up`, the link signs in, once, within one
    hour. Otherwise the page asks for an API key.
    """
    settings = complete_settings(from_env(os.environ))
    link = f"{settings.url}/"
    if settings.database_url and settings.encryption_keys and settings.api_key:
        key_id = identifiers.parse_token(identifiers.API_KEY_PREFIX, settings.api_key).id

        async def issue_ticket(services: Services) -> str:
            return await services.tickets.issue(key_id, purpose=identifiers.SIGN_IN_PREFIX, ttl_s=SIGN_IN_TTL_S)

        link = f"{settings.url}/login?token={run_with_services(settings, issue_ticket)}"
    if as_json:
        print_json({"url": link})
        return
    print_line(link)
    if not only_print and sys.stdout.isatty():
        click.launch(link)


@click.group()
def epoch() -> None:
    """Start a new log epoch."""


@epoch.command()
def renew() -> None:
    """Start a new epoch: the cursors of all clients become invalid, and their streams say so.

    Needed after a copy of a data directory was put back in place. `signalhub restore` does it by itself; a database in
    another cluster, or a standby that took over, is detected. Running web processes notice it within seconds; where
    `signalhub up` does not run, its database is started for this command.
    """

    async def renew_epoch(services: Services) -> str:
        async with services.engine.begin() as connection:
            return await epochs.get_or_create(connection, renew=True)

    with start_stopped_database(complete_settings(from_env(os.environ))) as settings:
        renewed = run_with_services(settings, renew_epoch, required=["database_url"])
    print_line(f"The epoch is now {renewed}.")
