"""`signalhub account`: accounts, made by whoever can reach the database."""

import os
import secrets
from pathlib import Path

import click

from signalhub import settings
from signalhub.cli.home import complete_settings
from signalhub.cli.office import ServiceContext, run_with_services
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
