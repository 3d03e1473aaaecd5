"""What `send`, `tail` and `orders` share: which service, which key, and how a failure reads.

`signalhub orders`: the newest orders.

`signalhub send`: a signal from the terminal.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from signalhub import settings
from signalhub.cli.local_state import complete_settings
from signalhub.cli.output import (
    exit_with_error,
    print_json,
    print_line,
    print_note,
    print_problems,
    print_table,
    read_text_argument,
)
from signalhub.client import Accepted, Client, ClientError, Refused, Unreachable
from signalhub.domain.events import OrderView
from signalhub.domain.order import Status
from signalhub.settings import Secret, Settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")


def service_options(command: CommandT) -> CommandT:
    """The options that say which service and whose key."""
    url = click.option("--url", help="The service's address. Default: SIGNALHUB_URL, else the running `signalhub up`.")
    key = click.option("--key", help="The API key. Default: SIGNALHUB_API_KEY, else the one that `signalhub up` keeps.")
    return url(key(command))


def run_with_client(url: str | None, key: str | None, operation: Callable[[Client], Awaitable[ResultT]]) -> ResultT:
    """Do `work` with a client. What can be expected to go wrong ends in a sentence."""
    found = settings.from_env(os.environ)
    found = complete_settings(replace(found, url=url or found.url, api_key=Secret(key) if key else found.api_key))
    if not found.api_key:
        exit_with_error(_missing_key_message(found), status=2)
    try:
        return asyncio.run(_run(found, operation))
    except KeyboardInterrupt:
        sys.exit(130)
    except Unreachable as error:
        hint = "" if error.is_uncertain else " Is it running? Start it with: signalhub up"
        exit_with_error(f"{error}{hint}")
    except ClientError as error:
        exit_with_error(_format_error(error))


async def _run(found: Settings, operation: Callable[[Client], Awaitable[ResultT]]) -> ResultT:
    async with Client(found.url, found.api_key) as client:
        return await operation(client)


def _missing_key_message(found: Settings) -> str:
    where = "no `signalhub up` has kept one in " + str(found.data_dir)
    return f"There is no API key: give --key or SIGNALHUB_API_KEY ({where})."


def _format_error(error: ClientError) -> str:
    return f"{error} [{error.code}]" if isinstance(error, Refused) else str(error)


_HEADER = ("CREATED", "ORDER", "SIDE", "SYMBOL", "ENTRY", "STATUS", "FILL", "CLOSE", "PNL", "WHY")


@click.command()
@click.option("--status", type=click.Choice([status.value for status in Status]), help="Only orders of this status.")
@click.option("--symbol", help="Only orders of this symbol.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON an order.")
@service_options
def orders(  # noqa: PLR0913 - as many as there are options
    *, status: str | None, symbol: str | None, limit: int, as_json: bool, url: str | None, key: str | None
) -> None:
    """List orders, the newest first."""
    found = run_with_client(url, key, lambda client: client.orders(status=status, symbol=symbol, limit=limit))
    if as_json:
        for order in found:
            print_json(order)
        return
    print_table(_HEADER, [_to_row(order) for order in found])
    if not found:
        print_note("There are none.")


def _to_row(order: OrderView) -> tuple[str, ...]:
    return (
        order.created_at[:19].replace("T", " "),
        order.id,
        order.side,
        order.symbol,
        order.entry or "market",
        order.status,
        order.fill_price or "-",
        order.close_price or "-",
        order.pnl or "-",
        order.close_reason or order.reason or "-",
    )


@click.command()
@click.argument("text", nargs=-1)
@click.option("--id", "key_of_signal", help="Idempotency key: sent again with it, a signal makes no second order.")
@click.option("--simulate", help="Force the mock broker's outcome, such as outcome=take_profit or fail=3.")
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer as one line of JSON.")
@service_options
def send(  # noqa: PLR0913 - as many as there are options
    text: tuple[str, ...],
    *,
    key_of_signal: str | None,
    simulate: str | None,
    as_json: bool,
    url: str | None,
    key: str | None,
) -> None:
    """Send TEXT (or what stdin has) as a signal.

    When this says so, signal and order are in the service's database. A text that is no signal is shown with a caret
    under each fault, and the exit status is 1.

    \b
    signalhub send BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890
    signalhub send --id alert-17 < signal.txt
    """  # noqa: D301 - \b is the character that click looks for
    sent = read_text_argument(text)

    async def work(client: Client) -> Accepted | Refused:
        try:
            return await client.send(sent, idempotency_key=key_of_signal, simulate=simulate)
        except Refused as error:
            if not error.problems:
                raise
            return error

    answer = run_with_client(url, key, work)
    if isinstance(answer, Refused):
        _print_refused(sent, answer, as_json=as_json)
    elif as_json:
        print_json(answer)
    else:
        _print_accepted(answer)


def _print_accepted(accepted: Accepted) -> None:
    print_line(click.style(accepted.info, fg="green", bold=True))
    again = ", sent before" if accepted.duplicate else ""
    print_line(f"  order {accepted.order_id} is {accepted.status}{again}; event {accepted.seq}")


def _print_refused(text: str, refused: Refused, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"code": refused.code, "detail": refused.detail, "status": refused.status, "errors": refused.problems}
        )
        sys.exit(1)
    print_problems(text, refused.problems)
    exit_with_error("This was refused; there is no order.")
