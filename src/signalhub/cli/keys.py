"""What `key` and `hook` share: the account they work on, how times read and are given.

`signalhub key`: API keys, and the keys that broker secrets are sealed with.
"""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click
from msgspec.structs import replace

from signalhub import settings
from signalhub.cli.context import ServiceContext, require_account_id, run_with_services
from signalhub.cli.local_state import DEFAULT_ACCOUNT, LocalState, complete_settings
from signalhub.cli.output import print_json, print_line, print_table
from signalhub.domain import identifiers
from signalhub.services.auth import SCOPES
from signalhub.services.credentials import KeyView, NewKey
from signalhub.services.encryption import generate_encryption_key

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class DurationParam(click.ParamType[int]):
    """Seconds, from text such as `20s`, `90m`, `30d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        found = re.fullmatch(r"(\d{1,9})([smhd]?)", str(value), re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no duration: write 20s, 90m, 12h or 30d.", param, ctx)
        return int(found[1]) * _UNIT_SECONDS[found[2] or "s"]


DURATION: Final = DurationParam()


def account_option(command: CommandT) -> CommandT:
    whose = click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="Whose, by username.")
    return whose(command)


def json_option(command: CommandT) -> CommandT:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def run_for_account(username: str, operation: Callable[[ServiceContext, str], Awaitable[ResultT]]) -> ResultT:
    """Do `work` with the account's id."""

    async def find_first(office: ServiceContext) -> ResultT:
        return await operation(office, await require_account_id(office, username))

    return run_with_services(complete_settings(settings.from_env(os.environ)), find_first)


def format_time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


_HEADER = ("KEY", "LABEL", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "REVOKED")
_MAX_OVERLAP_S = 30 * 86_400


@click.group()
def key() -> None:
    """Make, list, rotate and revoke API keys. Works on the database, so it needs no key of its own."""


@key.command()
@click.option("--label", default="", help="What it is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="May be repeated. Default: all.")
@click.option("--expires-in", type=DURATION, help="Such as 12h or 30d. Default: never.")
@json_option
@account_option
def create(account: str, *, label: str, scopes: tuple[str, ...], expires_in: int | None, as_json: bool) -> None:
    """Make a key and print it, once."""
    ends_at = None if expires_in is None else datetime.now(UTC) + timedelta(seconds=expires_in)
    wish = NewKey(label=label, scopes=scopes or SCOPES, expires_at=ends_at)
    _print_new_key(run_for_account(account, lambda office, id_: office.keys.create(id_, wish)), as_json=as_json)


@key.command("list")
@json_option
@account_option
def list_(account: str, *, as_json: bool) -> None:
    """List the account's keys, of which nobody can read the secret any more."""
    found = run_for_account(account, lambda office, id_: office.keys.list_by_account(id_))
    if as_json:
        print_json(found)
    else:
        print_table(_HEADER, [_to_row(one) for one in found])


@key.command()
@click.argument("key_id")
@click.option("--overlap", type=DURATION, default="1d", show_default=True, help="How long the old key goes on working.")
@json_option
@account_option
def rotate(account: str, key_id: str, *, overlap: int, as_json: bool) -> None:
    """Make a key in place of KEY_ID and print it, once; the old one works on for a while."""
    if overlap > _MAX_OVERLAP_S:
        raise click.UsageError("An overlap of more than 30d is no rotation.")
    made = run_for_account(account, lambda office, id_: office.keys.rotate(id_, _extract_key_id(key_id), overlap))
    _update_local_key(_extract_key_id(key_id), made)
    _print_new_key(made, as_json=as_json)


@key.command()
@click.argument("key_id")
@account_option
def revoke(account: str, key_id: str) -> None:
    """Revoke KEY_ID: within 5 seconds it opens nothing any more and its streams are closed."""
    run_for_account(account, lambda office, id_: office.keys.revoke(id_, _extract_key_id(key_id)))
    print_line(f"Key {_extract_key_id(key_id)} is revoked.")


@key.command("rotate-encryption")
def rotate_encryption() -> None:
    """Seal all stored secrets anew under the first of SIGNALHUB_ENCRYPTION_KEYS.

    \b
    1. put a new key (signalhub key encryption) before the old ones, with a comma between, in
       SIGNALHUB_ENCRYPTION_KEYS or, with `signalhub up`, in encryption.key in the data directory;
    2. restart the web processes, or `signalhub up`;
    3. run this;
    4. remove the old keys.
    """  # noqa: D301 - \b is the character that click looks for

    async def work(office: ServiceContext) -> tuple[int, int]:
        return await office.accounts.rotate_secrets(), await office.hooks.rotate_secrets()

    brokers, hooks = run_with_services(complete_settings(settings.from_env(os.environ)), work)
    print_line(f"Sealed anew: {brokers} broker secrets, {hooks} hook secrets.")


@key.command()
def encryption() -> None:
    """Print a new encryption key. It is stored nowhere."""
    print_line(generate_encryption_key())


def _extract_key_id(text: str) -> str:
    """A key's id, also where the whole key was given."""
    return text.split("_")[1] if text.startswith(f"{identifiers.API_KEY_PREFIX}_") else text


def _update_local_key(old_id: str, new_key_view: KeyView) -> None:
    """Where the key that `up` keeps for this machine was rotated, keep the new one."""
    home = LocalState(settings.from_env(os.environ).data_dir)
    local = home.read_credentials()
    if (
        local is not None
        and new_key_view.api_key is not None
        and identifiers.parse_token(identifiers.API_KEY_PREFIX, local.api_key).id == old_id
    ):
        home.save_credentials(replace(local, api_key=new_key_view.api_key))


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
