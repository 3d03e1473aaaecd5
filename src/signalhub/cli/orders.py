"""`signalhub orders`: the newest orders."""

import click

from signalhub.cli.output import print_json, print_note, print_table
from signalhub.cli.remote import run_with_client, service_options
from signalhub.domain.events import OrderView
from signalhub.domain.order import Status

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
