"""`signalhub hook`: URLs that may write signals, for senders that cannot set headers."""

import os

import click

from signalhub import settings
from signalhub.cli.keys import DURATION, account_option, format_time, json_option, run_for_account
from signalhub.cli.local_state import complete_settings
from signalhub.cli.output import print_json, print_line, print_table
from signalhub.services.credentials import HookView, NewHook

_HEADER = ("HOOK", "LABEL", "SIGNED", "DUPLICATES", "CREATED", "LAST USED", "REVOKED")


@click.group()
def hook() -> None:
    """Make, list and revoke hook URLs. Works on the database, so it needs no key."""


@hook.command()
@click.option("--label", default="", help="Whose alerts come in here.")
@click.option("--signed", is_flag=True, help="Make a Standard Webhooks secret, without which nothing is taken.")
@click.option("--duplicates", type=DURATION, default="0s", help="The same text within this time is the same signal.")
@json_option
@account_option
def create(account: str, *, label: str, signed: bool, duplicates: int, as_json: bool) -> None:
    """Make a hook and print its URL, once. For TradingView --duplicates 20s covers its resends."""
    try:
        wish = NewHook(label=label, is_signed=signed, duplicate_window_s=duplicates)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    made = run_for_account(account, lambda office, id_: office.hooks.create(id_, wish))
    if as_json:
        print_json(made)
        return
    print_line(f"{_base_url()}{made.path}")
    if made.secret is not None:
        print_line(f"{made.secret}")
    print_line(click.style(f"shown this once; its id is {made.id}", dim=True))


@hook.command("list")
@json_option
@account_option
def list_(account: str, *, as_json: bool) -> None:
    """List the account's hooks."""
    found = run_for_account(account, lambda office, id_: office.hooks.list_by_account(id_))
    if as_json:
        print_json(found)
    else:
        print_table(_HEADER, [_to_row(one) for one in found])


@hook.command()
@click.argument("hook_id")
@account_option
def revoke(account: str, hook_id: str) -> None:
    """Revoke HOOK_ID: within 5 seconds its URL takes nothing any more."""
    run_for_account(account, lambda office, id_: office.hooks.revoke(id_, hook_id))
    print_line(f"Hook {hook_id} is revoked.")


def _base_url() -> str:
    found = settings.from_env(os.environ)
    return found.web.base_url if found.web.public_url else complete_settings(found).url


def _to_row(hook_view: HookView) -> tuple[str, ...]:
    signed, window = (
        ("yes" if hook_view.is_signed else "no"),
        (f"{hook_view.duplicate_window_s}s" if hook_view.duplicate_window_s else "-"),
    )
    return (
        hook_view.id,
        hook_view.label or "-",
        signed,
        window,
        *map(format_time, (hook_view.created_at, hook_view.last_used_at, hook_view.revoked_at)),
    )
