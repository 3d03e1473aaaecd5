"""`signalhub hook`: URLs that accept signals, for senders that cannot set headers."""

import os
from typing import Literal

import click

from signalhub.cli.keys import DURATION, account_option, format_time, run_for_account
from signalhub.cli.local_state import complete_settings
from signalhub.cli.output import json_option, print_json, print_line
from signalhub.cli.tables import print_table
from signalhub.services.keys_and_hooks import MAX_OVERLAP_S, HookRotation, HookView, NewHook
from signalhub.settings import from_env

_HEADER = ("HOOK", "LABEL", "SIGNED", "DUPLICATES", "CREATED", "LAST USED", "REVOKED")


@click.group()
def hook() -> None:
    """Create, list, rotate and revoke hook URLs. Works on the database, so it needs no API key."""


@hook.command()
@click.option("--label", default="", help="What sends to it.")
@click.option(
    "--signed", is_flag=True, help="Accept only requests signed with a Standard Webhooks secret, which is printed."
)
@click.option("--duplicates", type=DURATION, default="0s", help="Treat the same text within this time as one signal.")
@json_option
@account_option
def create(account: str, *, label: str, signed: bool, duplicates: int, as_json: bool) -> None:
    """Create a hook and print its URL, once. For TradingView use --duplicates 20s, which covers its resends."""
    try:
        new_hook = NewHook(label=label, is_signed=signed, duplicate_window_s=duplicates)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    created = run_for_account(account, lambda services, id_: services.hooks.create(id_, new_hook))
    _print_new_credentials(created, as_json=as_json)


@hook.command("list")
@json_option
@account_option
def list_(account: str, *, as_json: bool) -> None:
    """List the account's hooks."""
    hooks = run_for_account(account, lambda services, id_: services.hooks.list_by_account(id_))
    if as_json:
        print_json(hooks)
    else:
        print_table(_HEADER, [_to_row(hook_view) for hook_view in hooks])


@hook.command()
@click.argument("hook_id")
@click.option("--overlap", type=DURATION, default="1d", show_default=True, help="How long the old ones still work.")
@click.option("--only", type=click.Choice(("token", "secret")), help="Replace only this. Default: both.")
@json_option
@account_option
def rotate(account: str, hook_id: str, *, overlap: int, only: Literal["token", "secret"] | None, as_json: bool) -> None:
    """Replace URL and secret of HOOK_ID and print the new ones, once; the old ones work until the overlap ends."""
    if overlap > MAX_OVERLAP_S:
        raise click.UsageError("The overlap can be at most 30d.")
    rotation = HookRotation(overlap_s=overlap, only=only)
    rotated = run_for_account(account, lambda services, id_: services.hooks.rotate(id_, hook_id, rotation))
    _print_new_credentials(rotated, as_json=as_json)


@hook.command()
@click.argument("hook_id")
@account_option
def revoke(account: str, hook_id: str) -> None:
    """Revoke HOOK_ID: its URL stops accepting signals within 5 seconds."""
    run_for_account(account, lambda services, id_: services.hooks.revoke(id_, hook_id))
    print_line(f"Hook {hook_id} is revoked.")


def _print_new_credentials(hook_view: HookView, *, as_json: bool) -> None:
    if as_json:
        print_json(hook_view)
        return
    if hook_view.path is not None:
        print_line(f"{_base_url()}{hook_view.path}")
    if hook_view.secret is not None:
        print_line(f"{hook_view.secret}")
    print_line(click.style(f"shown this once; its id is {hook_view.id}", dim=True))


def _base_url() -> str:
    settings = from_env(os.environ)
    return settings.web.base_url if settings.web.public_url else complete_settings(settings).url


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
