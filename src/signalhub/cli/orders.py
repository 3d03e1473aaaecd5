"""`signalhub orders`: list an account's orders, show one, cancel or close it.

On a terminal an order has a short id, the end of its whole id; every command takes either.
"""

from typing import Final
from urllib.parse import quote
from uuid import UUID

import click
import msgspec
from click.core import ParameterSource

from signalhub.cli.output import format_command, json_option, make_printable, print_json, print_line, print_note
from signalhub.cli.send import run_with_client, service_options, to_plain_symbol
from signalhub.cli.tables import get_terminal_width, print_table
from signalhub.client import Client
from signalhub.domain.events import OrderView
from signalhub.domain.order import Status

SHORT_ID_LENGTH: Final = 8
MAX_SEARCHED_ORDERS: Final = 500
"""Newest orders among which a short id is looked up."""

_HEADER: Final = ("CREATED", "ORDER", "SIDE", "SYMBOL", "ENTRY", "STATUS", "FILL", "CLOSE", "PNL", "WHY")
_DROPPED_FIRST: Final = ("FILL", "CLOSE", "CREATED", "WHY", "ENTRY", "PNL")


@click.group(invoke_without_command=True)
@click.option("--status", type=click.Choice([status.value for status in Status]), help="Only orders with this status.")
@click.option("--symbol", help="Only orders for this symbol, or an alias such as GOLD.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Maximum number of orders.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each order.")
@service_options
@click.pass_context
def orders(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    *,
    status: str | None,
    symbol: str | None,
    limit: int,
    as_json: bool,
    url: str | None,
    key: str | None,
) -> None:
    """List orders, the newest first; with a command, show or change one."""
    if ctx.invoked_subcommand is not None:
        if any(ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE for name in ctx.params):
            raise click.UsageError(f"Write the options of `{ctx.invoked_subcommand}` after it.")
        return
    plain_symbol = symbol and to_plain_symbol(symbol)
    listed = run_with_client(url, key, lambda client: client.orders(status=status, symbol=plain_symbol, limit=limit))
    if as_json:
        for order in listed:
            print_json(order)
        return
    print_table(_HEADER, [to_row(order) for order in listed], dropped_first=_DROPPED_FIRST)
    if not listed:
        print_note("There are no orders.")


def to_row(order: OrderView) -> tuple[str, ...]:
    is_terminal = get_terminal_width() is not None
    return (
        order.created_at[5 if is_terminal else 0 : 16 if is_terminal else 19].replace("T", " "),
        order.id[-SHORT_ID_LENGTH:] if is_terminal else order.id,
        order.side,
        order.symbol,
        order.entry or "market",
        order.status,
        order.fill_price or "-",
        order.close_price or "-",
        order.pnl or "-",
        order.close_reason or order.reason or "-",
    )


@orders.command()
@click.argument("order_id")
@json_option
@service_options
def show(order_id: str, *, as_json: bool, url: str | None, key: str | None) -> None:
    """Show the order ORDER_ID with everything that is known of it."""
    _run_on_order("GET", "", order_id, as_json=as_json, url=url, key=key)


@orders.command()
@click.argument("order_id")
@json_option
@service_options
def cancel(order_id: str, *, as_json: bool, url: str | None, key: str | None) -> None:
    """Cancel the order ORDER_ID while it is pending."""
    _run_on_order("POST", "/cancel", order_id, as_json=as_json, url=url, key=key)


@orders.command()
@click.argument("order_id")
@json_option
@service_options
def close(order_id: str, *, as_json: bool, url: str | None, key: str | None) -> None:
    """Close the executed order ORDER_ID at the market price."""
    _run_on_order("POST", "/close", order_id, as_json=as_json, url=url, key=key)


def _run_on_order(method: str, action: str, text: str, *, as_json: bool, url: str | None, key: str | None) -> None:  # noqa: PLR0913 - the options of a command
    async def run(client: Client) -> OrderView:
        order_id = await find_order_id(client, text)
        body = await client.request(method, f"/api/v1/orders/{quote(order_id, safe='')}{action}")
        return msgspec.json.decode(body, type=OrderView)

    order = run_with_client(url, key, run)
    if as_json:
        print_json(order)
    else:
        print_order(order)


async def find_order_id(client: Client, text: str) -> str:
    """Return the id that `text` is, or the end of. Raises ClickException where no order, or several, end so."""
    try:
        return str(UUID(text))
    except ValueError:
        listed = await client.orders(limit=MAX_SEARCHED_ORDERS)
    matches = [order.id for order in listed if order.id.endswith(text.lower())]
    if len(matches) != 1:
        count = "Several" if matches else f"None of the newest {MAX_SEARCHED_ORDERS}"
        raise click.ClickException(
            f"{count} orders end in {text!r}. Give the whole id, from: {format_command('orders --json')}"
        )
    return matches[0]


def print_order(order: OrderView) -> None:
    """Print each field that has a value, and a line for each part that was closed and each interrupted step."""
    print_line(click.style(f"{order.side} {order.symbol} is {order.status}", bold=True))
    shown_apart = {"closes": None, "interruptions": None}
    values = msgspec.structs.asdict(order) | {"take_profits": ", ".join(order.take_profits)} | shown_apart
    for name, value in values.items():
        if value is not None:
            print_line(f"  {name:<18} {make_printable(str(value))}")
    for part in order.closes:
        print_line(f"  {'closed':<18} {part.quantity} at {part.price}, {part.reason}, {part.at}")
    for step in order.interruptions:
        print_line(f"  {'interrupted':<18} attempt {step.attempt}, {step.claimed_at} to {step.resumed_at}")
