"""`signalhub tail`: follow events, in a live table on a terminal and as lines elsewhere."""

import sys
from contextlib import aclosing, nullcontext
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
    """One row for each order, updated in place, the last changed at the bottom.

    It keeps as many orders as the terminal has lines; `signalhub orders` lists the rest.
    """

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
        self._connection_state = "live" if is_connected else "connection lost; reconnecting …"
        self._refresh()

    def show(self, item: Item) -> None:
        if not isinstance(item, Event):
            self._caption = describe_control_event(item)
        elif item.order_id is not None and "status" in item.data:
            self._rows.pop(item.order_id, None)  # so that the order that changed last is the last row
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
    results = [str(order.get(name) or "-") for name in ("fill_price", "close_price", "pnl")]
    reason = str(order.get("close_reason") or order.get("reason") or "")
    status = str(order["status"])
    head = [str(event.seq), f"{event.at:%H:%M:%S}", str(order["side"]), str(order["symbol"])]
    cells = [
        Text(make_printable(cell)) for cell in [*head, str(order.get("entry") or "market"), status, *results, reason]
    ]
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
@click.option("--after", help="Start after this event (its number, or <epoch>-<number>); 0 for all events.")
@click.option("--types", default="", help="Only these types, such as order.*,signal.rejected.")
@click.option("-n", "--count", "max_events", type=click.IntRange(1), help="Stop after this many events.")
@click.option("--transport", type=click.Choice(["sse", "websocket"]), default="sse", show_default=True)
@click.option("--plain", is_flag=True, help="Print lines instead of a table, also on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as its line of JSON in the log.")
@service_options
def tail(  # noqa: PLR0913 - one for each option
    *,
    after: str | None,
    types: str,
    max_events: int | None,
    transport: Transport,
    plain: bool,
    as_json: bool,
    url: str | None,
    key: str | None,
) -> None:
    """Follow the events of the account, from now on or from --after.

    Each event is printed once and in order. When the connection is lost or the service restarts, this reconnects and
    resumes after the last event. Ctrl-C stops it.
    """
    is_live = sys.stdout.isatty() and not as_json and not plain

    async def print_events(client: Client) -> None:
        with LiveTable() if is_live else nullcontext() as table:
            show = table.show if table else _print_item_as_json if as_json else _print_item_as_text
            show_connection = table.show_connection_state if table else _print_connection_lost
            event_types = [part for part in types.split(",") if part]
            events = client.events(
                after=after, types=event_types, transport=transport, on_connection_change=show_connection
            )
            async with aclosing(events) as items:
                event_count = 0
                async for item in items:
                    show(item)
                    event_count += isinstance(item, Event)
                    if event_count == max_events:
                        return

    run_with_client(url, key, print_events)


def _print_connection_lost(is_connected: bool) -> None:  # noqa: FBT001 - the client's callback
    if not is_connected:
        click.echo(click.style("connection lost; reconnecting …", dim=True), err=True)


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
    return f"The requested cursor is not in this log ({item.reason}); continuing after event {item.seq}."


def summarize_event(event: Event) -> str:
    """Return the data of an event in a few words."""
    data = event.data
    if "symbol" in data and "status" in data:
        fields = [
            ("fill", "fill_price"),
            ("close", "close_price"),
            ("pnl", "pnl"),
            ("", "close_reason"),
            ("", "reason"),
        ]
        details = [f"{label} {data[name]}".strip() for label, name in fields if data.get(name)]
        return " ".join([f"{data['side']} {data['symbol']} @ {data.get('entry') or 'market'}", *details])
    return str(data.get("info") or data.get("detail") or data.get("label") or data.get("username") or "")
