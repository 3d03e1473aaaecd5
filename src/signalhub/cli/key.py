"""`signalhub key`: API keys, and the keys that broker secrets are sealed with."""

import os
from datetime import UTC, datetime, timedelta

import click
from msgspec.structs import replace

from signalhub import settings
from signalhub.cli.credentials import DURATION, as_json_too, for_account, of_account, when
from signalhub.cli.home import Home, completed
from signalhub.cli.office import Office, at_the_office
from signalhub.cli.output import say, show_json, show_rows
from signalhub.domain import tokens
from signalhub.services.keys import KeyView, NewKey
from signalhub.services.principal import SCOPES
from signalhub.services.vault import new_key

_HEADER = ("KEY", "LABEL", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "REVOKED")
_LONGEST_OVERLAP_S = 30 * 86_400


@click.group()
def key() -> None:
    """Make, list, rotate and revoke API keys. Works on the database, so it needs no key of its own."""


@key.command()
@click.option("--label", default="", help="What it is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="May be repeated. Default: all.")
@click.option("--expires-in", type=DURATION, help="Such as 12h or 30d. Default: never.")
@as_json_too
@of_account
def create(account: str, *, label: str, scopes: tuple[str, ...], expires_in: int | None, as_json: bool) -> None:
    """Make a key and print it, once."""
    ends_at = None if expires_in is None else datetime.now(UTC) + timedelta(seconds=expires_in)
    wish = NewKey(label=label, scopes=scopes or SCOPES, expires_at=ends_at)
    _show_new(for_account(account, lambda office, id_: office.keys.create(id_, wish)), as_json=as_json)


@key.command("list")
@as_json_too
@of_account
def list_(account: str, *, as_json: bool) -> None:
    """List the account's keys, of which nobody can read the secret any more."""
    found = for_account(account, lambda office, id_: office.keys.of(id_))
    if as_json:
        show_json(found)
    else:
        show_rows(_HEADER, [_row(one) for one in found])


@key.command()
@click.argument("key_id")
@click.option("--overlap", type=DURATION, default="1d", show_default=True, help="How long the old key goes on working.")
@as_json_too
@of_account
def rotate(account: str, key_id: str, *, overlap: int, as_json: bool) -> None:
    """Make a key in place of KEY_ID and print it, once; the old one works on for a while."""
    if overlap > _LONGEST_OVERLAP_S:
        raise click.UsageError("An overlap of more than 30d is no rotation.")
    made = for_account(account, lambda office, id_: office.keys.rotate(id_, _id(key_id), overlap))
    _keep_in_place(_id(key_id), made)
    _show_new(made, as_json=as_json)


@key.command()
@click.argument("key_id")
@of_account
def revoke(account: str, key_id: str) -> None:
    """Revoke KEY_ID: within 5 seconds it opens nothing any more and its streams are closed."""
    for_account(account, lambda office, id_: office.keys.revoke(id_, _id(key_id)))
    say(f"Key {_id(key_id)} is revoked.")


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

    async def work(office: Office) -> tuple[int, int]:
        return await office.accounts.rotate_secrets(), await office.hooks.rotate_secrets()

    brokers, hooks = at_the_office(completed(settings.from_env(os.environ)), work)
    say(f"Sealed anew: {brokers} broker secrets, {hooks} hook secrets.")


@key.command()
def encryption() -> None:
    """Print a new encryption key. It is stored nowhere."""
    say(new_key())


def _id(text: str) -> str:
    """A key's id, also where the whole key was given."""
    return text.split("_")[1] if text.startswith(f"{tokens.API_KEY}_") else text


def _keep_in_place(old_id: str, made: KeyView) -> None:
    """Where the key that `up` keeps for this machine was rotated, keep the new one."""
    home = Home(settings.from_env(os.environ).data_dir)
    local = home.local()
    if local is not None and made.api_key is not None and tokens.read(tokens.API_KEY, local.api_key).id == old_id:
        home.keep_local(replace(local, api_key=made.api_key))


def _show_new(made: KeyView, *, as_json: bool) -> None:
    if as_json:
        show_json(made)
        return
    say(f"{made.api_key}")
    say(click.style(f"shown this once; its id is {made.id}, its scopes are {', '.join(made.scopes)}", dim=True))


def _row(one: KeyView) -> tuple[str, ...]:
    scopes = "all" if set(one.scopes) == set(SCOPES) else ",".join(one.scopes)
    times = (one.created_at, one.expires_at, one.last_used_at, one.revoked_at)
    return (one.id, one.label or "-", scopes, *map(when, times))
