"""The table of `signalhub tail` on a terminal: a row an order, changing in place, the newest at the bottom.

`signalhub tail`: what happens, as it happens. A live table on a terminal, a line an event anywhere else.
"""

import sys
from contextlib import aclosing, nullcontext
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from signalhub.cli.output import make_printable, print_line
from signalhub.cli.send import run_with_client, service_options
from signalhub.client import Client, Event, Gap, Item, Reset
from signalhub.client.follow import Transport

_STATUS_STYLES: Final = {
    "pending": "yellow",
    "executed": "cyan",
    "closed": "green",
    "rejected": "red",
    "cancelled": "dim",
    "expired": "dim",
}
_COLUMNS: Final = ("seq", "time", "side", "symbol", "entry", "status", "fill", "close", "pnl", "why")
_RESERVED_LINES: Final = 8


class LiveTable:
    """Keeps as many orders as the terminal has lines: what scrolls out is in `signalhub orders`."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._rows: dict[str, tuple[Event, dict[str, Any]]] = {}
        self._connection_state, self._caption = "connecting …", ""
        self._live = Live(self._build_table(), console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show_connection_state(self, is_connected: bool) -> None:  # noqa: FBT001 - the client's callback
        self._connection_state = "live" if is_connected else "the connection broke; trying again …"
        self._refresh()

    def show(self, item: Item) -> None:
        if not isinstance(item, Event):
            self._caption = describe_control_event(item)
        elif item.order_id is not None and "status" in item.data:
            self._rows.pop(item.order_id, None)  # so that what moved last stands last
            self._rows[item.order_id] = (item, item.data)
        else:
            self._caption = f"{item.seq} {item.type} {make_printable(summarize_event(item))}"
        self._refresh()

    def _refresh(self) -> None:
        while len(self._rows) > max(3, self._console.height - _RESERVED_LINES):
            del self._rows[next(iter(self._rows))]
        self._live.update(self._build_table(), refresh=True)

    def _build_table(self) -> Table:
        table = Table(title=f"SignalHub — {self._connection_state}", caption=escape(self._caption), title_style="bold")
        for name in _COLUMNS:
            table.add_column(name, no_wrap=True)
        for event, order in self._rows.values():
            table.add_row(*_format_cells(event, order))
        return table


def _format_cells(event: Event, order: dict[str, Any]) -> list[Text]:
    shown = [str(order.get(name) or "-") for name in ("fill_price", "close_price", "pnl")]
    why = str(order.get("close_reason") or order.get("reason") or "")
    status = str(order["status"])
    head = [str(event.seq), f"{event.at:%H:%M:%S}", str(order["side"]), str(order["symbol"])]
    cells = [Text(make_printable(cell)) for cell in [*head, str(order.get("entry") or "market"), status, *shown, why]]
    cells[len(head) + 1].stylize(_STATUS_STYLES.get(status, ""))
    return cells


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
            told = table.show_connection_state if table else _print_connection_lost
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
