"""`signalhub hook`: URLs that may write signals, for senders that cannot set headers."""

import os

import click

from signalhub import settings
from signalhub.cli.credentials import DURATION, as_json_too, for_account, of_account, when
from signalhub.cli.home import completed
from signalhub.cli.output import say, show_json, show_rows
from signalhub.services.hooks import HookView, NewHook

_HEADER = ("HOOK", "LABEL", "SIGNED", "DUPLICATES", "CREATED", "LAST USED", "REVOKED")


@click.group()
def hook() -> None:
    """Make, list and revoke hook URLs. Works on the database, so it needs no key."""


@hook.command()
@click.option("--label", default="", help="Whose alerts come in here.")
@click.option("--signed", is_flag=True, help="Make a Standard Webhooks secret, without which nothing is taken.")
@click.option("--duplicates", type=DURATION, default="0s", help="The same text within this time is the same signal.")
@as_json_too
@of_account
def create(account: str, *, label: str, signed: bool, duplicates: int, as_json: bool) -> None:
    """Make a hook and print its URL, once. For TradingView --duplicates 20s covers its resends."""
    try:
        wish = NewHook(label=label, is_signed=signed, duplicate_window_s=duplicates)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    made = for_account(account, lambda office, id_: office.hooks.create(id_, wish))
    if as_json:
        show_json(made)
        return
    say(f"{_base_url()}{made.path}")
    if made.secret is not None:
        say(f"{made.secret}")
    say(click.style(f"shown this once; its id is {made.id}", dim=True))


@hook.command("list")
@as_json_too
@of_account
def list_(account: str, *, as_json: bool) -> None:
    """List the account's hooks."""
    found = for_account(account, lambda office, id_: office.hooks.of(id_))
    if as_json:
        show_json(found)
    else:
        show_rows(_HEADER, [_row(one) for one in found])


@hook.command()
@click.argument("hook_id")
@of_account
def revoke(account: str, hook_id: str) -> None:
    """Revoke HOOK_ID: within 5 seconds its URL takes nothing any more."""
    for_account(account, lambda office, id_: office.hooks.revoke(id_, hook_id))
    say(f"Hook {hook_id} is revoked.")


def _base_url() -> str:
    found = settings.from_env(os.environ)
    return found.base_url if found.public_url else completed(found).url


def _row(one: HookView) -> tuple[str, ...]:
    signed, window = (
        ("yes" if one.is_signed else "no"),
        (f"{one.duplicate_window_s}s" if one.duplicate_window_s else "-"),
    )
    return (one.id, one.label or "-", signed, window, *map(when, (one.created_at, one.last_used_at, one.revoked_at)))
