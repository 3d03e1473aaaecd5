"""`signalhub send`, and what all commands share that use a running service as its client: options, error handling."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from signalhub.cli.local_state import complete_settings
from signalhub.cli.output import (
    exit_with_error,
    format_command,
    print_json,
    print_line,
    print_note,
    print_problems,
    read_text_argument,
)
from signalhub.client import Accepted, Client, ClientError, Refused, Unreachable
from signalhub.settings import Secret, from_env

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")


def service_options(command: CommandT) -> CommandT:
    """Add --url and --key, which select the service and the account."""
    url = click.option("--url", help="Address of the service. Default: SIGNALHUB_URL, else the running `signalhub up`.")
    key = click.option("--key", help="API key. Default: SIGNALHUB_API_KEY, else the key that `signalhub up` saved.")
    return url(key(command))


def to_plain_symbol(symbol: str) -> str:
    """Return a symbol as the service stores it, from a pair such as XAU/USD, which a signal may have."""
    return symbol.replace("/", "")


def run_with_client(url: str | None, key: str | None, operation: Callable[[Client], Awaitable[ResultT]]) -> ResultT:
    """Run `operation` with a client. Expected failures exit with status 1, or 2 for a missing key, and a sentence."""
    settings = from_env(os.environ)
    settings = replace(settings, url=url or settings.url, api_key=Secret(key) if key else settings.api_key)
    settings = complete_settings(settings)
    if not settings.api_key:
        reason = f"no `signalhub up` has saved one in {settings.data_dir}"
        exit_with_error(f"There is no API key: give --key or SIGNALHUB_API_KEY ({reason}).", status=2)

    async def run_operation() -> ResultT:
        async with Client(settings.url, settings.api_key) as client:
            return await operation(client)

    try:
        return asyncio.run(run_operation())
    except KeyboardInterrupt:
        sys.exit(130)
    except Unreachable as error:
        hint = "" if error.is_uncertain else f" Is it running? Start it with: {format_command('up')}"
        exit_with_error(f"{error}{hint}")
    except ClientError as error:
        exit_with_error(f"{error} [{error.code}]" if isinstance(error, Refused) else str(error))


@click.command()
@click.argument("text", nargs=-1)
@click.option("--id", "idempotency_key", help="Idempotency key: a signal sent again with it creates no second order.")
@click.option("--simulate", help="Force the mock broker's outcome, such as outcome=take_profit or fail=3.")
@click.option("--json", "as_json", is_flag=True, help="Print the response as one line of JSON.")
@service_options
def send(  # noqa: PLR0913 - one for each option
    text: tuple[str, ...],
    *,
    idempotency_key: str | None,
    simulate: str | None,
    as_json: bool,
    url: str | None,
    key: str | None,
) -> None:
    """Send TEXT (or stdin) as a signal.

    On success, signal and order are committed in the database of the service. An invalid signal is shown with carets
    under each problem, and the exit status is 1.

    \b
    signalhub send BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890
    signalhub send --id alert-17 < signal.txt
    """  # noqa: D301 - \b is the character that click looks for
    sent = read_text_argument(text)

    async def send_text(client: Client) -> Accepted | Refused:
        try:
            return await client.send(sent, idempotency_key=idempotency_key, simulate=simulate)
        except Refused as error:
            if not error.problems:
                raise
            return error

    response = run_with_client(url, key, send_text)
    if isinstance(response, Refused):
        _print_refused(sent, response, as_json=as_json)
    elif as_json:
        print_json(response)
    else:
        _print_accepted(response)


def _print_accepted(accepted: Accepted) -> None:
    print_line(click.style(accepted.info, fg="green", bold=True))
    duplicate = ", sent before" if accepted.duplicate else ""
    print_line(f"  order {accepted.order_id} is {accepted.status}{duplicate}; event {accepted.seq}")
    for notice in accepted.notices or ():
        print_note(notice.detail)


def _print_refused(text: str, refused: Refused, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"code": refused.code, "detail": refused.detail, "status": refused.status, "errors": refused.problems}
        )
        sys.exit(1)
    print_problems(text, refused.problems)
    exit_with_error("The signal was refused; no order was created.")
