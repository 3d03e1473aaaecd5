"""What `signalhub up` says when all of it runs: secrets once, the way in each time."""

import click
import msgspec

from signalhub.cli.first import Entry
from signalhub.cli.home import FIRST_ACCOUNT
from signalhub.cli.output import say, show_json
from signalhub.settings import Settings

_SIGNAL = "BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890"


class Welcome(msgspec.Struct, frozen=True):
    """`api_key`, `hook_url` and `curl` are there the first time only."""

    url: str
    data_dir: str
    account: str
    dashboard: str
    api_key: str | None = None
    hook_url: str | None = None
    curl: str | None = None


def welcome(found: Settings, entry: Entry) -> Welcome:
    url, local = found.base_url, entry.local
    known = Welcome(url, str(found.data_dir), FIRST_ACCOUNT, f"{url}/login?token={entry.ticket}")
    if local.is_told:
        return known
    return msgspec.structs.replace(
        known,
        api_key=local.api_key,
        hook_url=f"{url}{local.hook_path}" if local.hook_path else None,
        curl=f"curl {url}/api/v1/signals -H 'X-API-Key: {local.api_key}' -d '{_SIGNAL}'",
    )


def show(told: Welcome, *, as_json: bool) -> None:
    if as_json:
        show_json(told)
        return
    say(f"\n{click.style('SignalHub runs', bold=True, fg='green')} at {told.url}, its data in {told.data_dir}.\n")
    _line("Dashboard", told.dashboard, "signs you in, once and within the hour")
    if told.curl is None:
        say(f"  The account {told.account!r} is there already; another key for it: signalhub key create")
    else:
        _line("API key", told.api_key or "", "shown this once")
        _line("Hook URL", told.hook_url or "", "shown this once; for senders that cannot set headers")
        say(f"\nSend a signal:\n  {told.curl}")
    say("\nOr, in a second terminal: signalhub tail, and in a third: signalhub send " + _SIGNAL.replace("@ ", ""))
    say("Ctrl-C stops all of it and loses nothing.\n")


def _line(name: str, value: str, remark: str) -> None:
    say(f"  {name:<10} {value}\n  {'':<10} {click.style(remark, dim=True)}")
