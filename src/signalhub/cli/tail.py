"""`signalhub tail`: what happens, as it happens. A live table on a terminal, a line an event anywhere else."""

import sys
from contextlib import aclosing, nullcontext
from itertools import count
from typing import Any, Final

import click

from signalhub.cli.output import make_printable, print_line
from signalhub.cli.remote import run_with_client, service_options
from signalhub.client import Client, Event, Gap, Item, Reset
from signalhub.client.following import Transport

_EVENT_COLOURS: Final = {
    "order.executed": "cyan",
    "order.closed": "green",
    "order.retrying": "yellow",
    "order.rejected": "red",
    "signal.rejected": "red",
}


@click.command()
@click.option("--after", help="Begin after this event (its number, or <epoch>-<number>); 0 is everything.")
@click.option("--types", default="", help="Only these, such as order.*,signal.rejected.")
@click.option("-n", "--count", "most", type=click.IntRange(1), help="Stop after so many events.")
@click.option("--transport", type=click.Choice(["sse", "websocket"]), default="sse", show_default=True)
@click.option("--plain", is_flag=True, help="Lines instead of a table, also on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as the line of JSON it is in the log.")
@service_options
def tail(  # noqa: PLR0913 - as many as there are options
    *,
    after: str | None,
    types: str,
    most: int | None,
    transport: Transport,
    plain: bool,
    as_json: bool,
    url: str | None,
    key: str | None,
) -> None:
    """Follow the account's events, from now on or from --after.

    Each event comes once and in order, also when the connection or the service breaks on the way: this waits, comes
    back and goes on where it was. Ctrl-C ends it.
    """
    is_live = sys.stdout.isatty() and not as_json and not plain

    async def work(client: Client) -> None:
        with _open_table(is_live=is_live) as table:
            show = table.show if table else _print_item_as_json if as_json else _print_item_as_text
            told = table.told if table else _print_connection_lost
            wanted = [part for part in types.split(",") if part]
            events = client.events(after=after, types=wanted, transport=transport, on_connection_change=told)
            async with aclosing(events) as items:
                left = count(1)
                async for item in items:
                    show(item)
                    if isinstance(item, Event) and next(left) == most:
                        return

    run_with_client(url, key, work)


def _open_table(*, is_live: bool) -> Any:  # noqa: ANN401 - a context manager with or without a table in it
    if not is_live:
        return nullcontext()
    from signalhub.cli.live import LiveTable  # noqa: PLC0415 - rich takes a while to load, and pipes do not need it

    return LiveTable()


def _print_connection_lost(is_connected: bool) -> None:  # noqa: FBT001 - the client's callback
    if not is_connected:
        click.echo(click.style("the connection broke; trying again …", dim=True), err=True)


def _print_item_as_json(item: Item) -> None:
    if isinstance(item, Event):
        click.echo(item.raw)
    else:
        click.echo(describe_control_event(item), err=True)


def _print_item_as_text(item: Item) -> None:
    if not isinstance(item, Event):
        print_line(click.style(describe_control_event(item), fg="yellow"))
        return
    type_ = click.style(f"{item.type:<24}", fg=_EVENT_COLOURS.get(item.type))
    print_line(f"{item.seq:>6}  {item.at:%H:%M:%S}  {type_} {make_printable(summarize_event(item))}".rstrip())


def describe_control_event(item: Reset | Gap) -> str:
    if isinstance(item, Gap):
        return f"Events {item.first} to {item.last} are no longer kept."
    return f"The place asked for is not in this log ({item.reason}); going on after event {item.seq}."


def summarize_event(event: Event) -> str:
    """An event's data in a few words."""
    data = event.data
    if "symbol" in data and "status" in data:
        figures = [
            ("fill", "fill_price"),
            ("close", "close_price"),
            ("pnl", "pnl"),
            ("", "close_reason"),
            ("", "reason"),
        ]
        said = [f"{word} {data[name]}".strip() for word, name in figures if data.get(name)]
        return " ".join([f"{data['side']} {data['symbol']} @ {data.get('entry') or 'market'}", *said])
    return str(data.get("info") or data.get("detail") or data.get("label") or data.get("username") or "")
