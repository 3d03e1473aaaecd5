"""`signalhub key`: API keys of accounts, and the keys that encrypt stored secrets.

Also the options and helpers that `signalhub hook` shares with it.
"""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import click
from msgspec.structs import replace

from signalhub.cli.local_state import DEFAULT_ACCOUNT, LocalState, complete_settings
from signalhub.cli.output import json_option, print_json, print_line
from signalhub.cli.services import require_account_id, run_with_services
from signalhub.cli.tables import print_table
from signalhub.container import Services
from signalhub.domain import identifiers
from signalhub.services.auth import SCOPES, Scope
from signalhub.services.encryption import generate_encryption_key
from signalhub.services.keys_and_hooks import MAX_OVERLAP_S, KeyView, NewKey
from signalhub.settings import from_env

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class DurationParam(click.ParamType[int]):
    """Seconds, from text such as `20s`, `90m`, `30d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        match = re.fullmatch(r"(\d{1,9})([smhd]?)", str(value), re.ASCII)
        if match is None:
            self.fail(f"{value!r} is no duration: write 20s, 90m, 12h or 30d.", param, ctx)
        return int(match[1]) * _UNIT_SECONDS[match[2] or "s"]


DURATION: Final = DurationParam()


def account_option(command: CommandT) -> CommandT:
    option = click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="Username of the account.")
    return option(command)


def run_for_account(username: str, operation: Callable[[Services, str], Awaitable[ResultT]]) -> ResultT:
    """Run `operation` with the services and the id of the account `username`."""

    async def find_account_and_run(services: Services) -> ResultT:
        return await operation(services, await require_account_id(services, username))

    return run_with_services(complete_settings(from_env(os.environ)), find_account_and_run)


def format_time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


_HEADER = ("KEY", "LABEL", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "REVOKED")


@click.group()
def key() -> None:
    """Create, list, rotate and revoke API keys. Works on the database, so it needs no API key."""


@key.command()
@click.option("--label", default="", help="What it is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="May be repeated. Default: all.")
@click.option("--expires-in", type=DURATION, help="Such as 12h or 30d. Default: never.")
@json_option
@account_option
def create(account: str, *, label: str, scopes: tuple[Scope, ...], expires_in: int | None, as_json: bool) -> None:
    """Create a key and print it, once."""
    lifetime = None if expires_in is None else timedelta(seconds=expires_in)
    try:
        new_key = NewKey(label=label, scopes=scopes or SCOPES)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    created = run_for_account(account, lambda services, id_: services.keys.create(id_, new_key, lifetime=lifetime))
    _print_new_key(created, as_json=as_json)


@key.command("list")
@json_option
@account_option
def list_(account: str, *, as_json: bool) -> None:
    """List the account's keys. The secret of a key cannot be shown again."""
    keys = run_for_account(account, lambda services, id_: services.keys.list_by_account(id_))
    if as_json:
        print_json(keys)
    else:
        print_table(_HEADER, [_to_row(key_view) for key_view in keys])


@key.command()
@click.argument("key_id")
@click.option("--overlap", type=DURATION, default="1d", show_default=True, help="How long the old key still works.")
@json_option
@account_option
def rotate(account: str, key_id: str, *, overlap: int, as_json: bool) -> None:
    """Create a key that replaces KEY_ID and print it, once; the old one works until the overlap ends."""
    if overlap > MAX_OVERLAP_S:
        raise click.UsageError("The overlap can be at most 30d.")
    rotated = run_for_account(
        account, lambda services, id_: services.keys.rotate(id_, _extract_key_id(key_id), overlap)
    )
    _update_local_key(_extract_key_id(key_id), rotated)
    _print_new_key(rotated, as_json=as_json)


@key.command()
@click.argument("key_id")
@account_option
def revoke(account: str, key_id: str) -> None:
    """Revoke KEY_ID: within 5 seconds it is refused everywhere and its streams are closed."""
    run_for_account(account, lambda services, id_: services.keys.revoke(id_, _extract_key_id(key_id)))
    print_line(f"Key {_extract_key_id(key_id)} is revoked.")


@key.command("rotate-encryption")
def rotate_encryption() -> None:
    """Encrypt all stored secrets again, with the first of SIGNALHUB_ENCRYPTION_KEYS.

    \b
    1. put a new key (signalhub key encryption) before the old ones, with a comma between, in
       SIGNALHUB_ENCRYPTION_KEYS or, with `signalhub up`, in encryption.key in the data directory;
    2. restart the web processes, or `signalhub up`;
    3. run this command;
    4. remove the old keys.
    """  # noqa: D301 - \b is the character that click looks for

    async def rotate_secrets(services: Services) -> tuple[int, int]:
        return await services.accounts.rotate_secrets(), await services.hooks.rotate_secrets()

    brokers, hooks = run_with_services(complete_settings(from_env(os.environ)), rotate_secrets)
    print_line(f"Encrypted again: {brokers} broker secrets, {hooks} hook secrets.")


@key.command()
def encryption() -> None:
    """Print a new encryption key. It is stored nowhere."""
    print_line(generate_encryption_key())


def _extract_key_id(text: str) -> str:
    """Return the id of a key, given as id or as the whole key."""
    return text.split("_")[1] if text.startswith(f"{identifiers.API_KEY_PREFIX}_") else text


def _update_local_key(old_id: str, new_key_view: KeyView) -> None:
    """Save the new key where the rotated one is the key that `up` saved on this machine."""
    local_state = LocalState(from_env(os.environ).data_dir)
    local = local_state.read_credentials()
    if (
        local is not None
        and new_key_view.api_key is not None
        and identifiers.parse_token(identifiers.API_KEY_PREFIX, local.api_key).id == old_id
    ):
        local_state.save_credentials(replace(local, api_key=new_key_view.api_key))


def _print_new_key(new_key_view: KeyView, *, as_json: bool) -> None:
    if as_json:
        print_json(new_key_view)
        return
    print_line(f"{new_key_view.api_key}")
    print_line(
        click.style(
            f"shown this once; its id is {new_key_view.id}, its scopes are {', '.join(new_key_view.scopes)}", dim=True
        )
    )


def _to_row(key_view: KeyView) -> tuple[str, ...]:
    scopes = "all" if set(key_view.scopes) == set(SCOPES) else ",".join(key_view.scopes)
    times = (key_view.created_at, key_view.expires_at, key_view.last_used_at, key_view.revoked_at)
    return (key_view.id, key_view.label or "-", scopes, *map(format_time, times))
