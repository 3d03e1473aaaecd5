"""What `signalhub up` says when all of it runs: secrets once, the way in each time."""

import click
import msgspec

from signalhub.cli.first import OwnerAccess
from signalhub.cli.home import DEFAULT_ACCOUNT
from signalhub.cli.output import print_json, print_line
from signalhub.settings import Settings

_EXAMPLE_SIGNAL = "BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890"


class Welcome(msgspec.Struct, frozen=True):
    """`api_key`, `hook_url` and `curl` are there the first time only."""

    url: str
    data_dir: str
    account: str
    dashboard: str
    api_key: str | None = None
    hook_url: str | None = None
    curl: str | None = None


def build_welcome(found: Settings, access: OwnerAccess) -> Welcome:
    url, local = found.base_url, access.credentials
    known = Welcome(url, str(found.data_dir), DEFAULT_ACCOUNT, f"{url}/login?token={access.ticket}")
    if local.is_told:
        return known
    return msgspec.structs.replace(
        known,
        api_key=local.api_key,
        hook_url=f"{url}{local.hook_path}" if local.hook_path else None,
        curl=f"curl {url}/api/v1/signals -H 'X-API-Key: {local.api_key}' -d '{_EXAMPLE_SIGNAL}'",
    )


def print_welcome(message: Welcome, *, as_json: bool) -> None:
    if as_json:
        print_json(message)
        return
    print_line(
        f"\n{click.style('SignalHub runs', bold=True, fg='green')} at {message.url}, its data in {message.data_dir}.\n"
    )
    _print_credential("Dashboard", message.dashboard, "signs you in, once and within the hour")
    if message.curl is None:
        print_line(f"  The account {message.account!r} is there already; another key for it: signalhub key create")
    else:
        _print_credential("API key", message.api_key or "", "shown this once")
        _print_credential("Hook URL", message.hook_url or "", "shown this once; for senders that cannot set headers")
        print_line(f"\nSend a signal:\n  {message.curl}")
    print_line(
        "\nOr, in a second terminal: signalhub tail, and in a third: signalhub send "
        + _EXAMPLE_SIGNAL.replace("@ ", "")
    )
    print_line("Ctrl-C stops all of it and loses nothing.\n")


def _print_credential(name: str, value: str, note: str) -> None:
    print_line(f"  {name:<10} {value}\n  {'':<10} {click.style(note, dim=True)}")
