"""`signalhub tail`: follow events, in a live table on a terminal and as lines elsewhere."""

import asyncio
import re
import select
import sys
from collections.abc import Coroutine, Sequence
from contextlib import aclosing, nullcontext
from types import TracebackType
from typing import Any, Final, Self

import click
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from signalhub.cli.output import discard_stdout, get_color, make_printable, print_line
from signalhub.cli.send import run_with_client, service_options
from signalhub.cli.tables import fit_line, get_terminal_width, select_columns
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
_DROPPED_FIRST: Final = ("seq", "fill", "close", "why", "time", "entry", "pnl")
_COLUMN_GAP: Final = 3  # a border and a space on each side
_RESERVED_LINES: Final = 8
_STDOUT_POLL_INTERVAL_S: Final = 0.2


class LiveTable:
    """One row for each order, updated in place, the last changed at the bottom.

    It keeps as many orders as the terminal has lines; `signalhub orders` lists the rest.
    """

    def __init__(self) -> None:
        self._console = Console(highlight=False, no_color=get_color() is False)
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
            self._caption = make_printable(" ".join([str(item.seq), item.type, *describe_event(item)]))
        self._refresh()

    def _refresh(self) -> None:
        while len(self._rows) > max(3, self._console.height - _RESERVED_LINES):
            del self._rows[next(iter(self._rows))]
        self._live.update(self._build_table(), refresh=True)

    def _build_table(self) -> Table:
        rows = [dict(zip(_COLUMNS, _format_cells(*row), strict=True)) for row in self._rows.values()]
        widths = {name: max([cell_len(name), *(row[name].cell_len for row in rows)]) for name in _COLUMNS}
        kept = select_columns(widths, self._console.width - 1 - _COLUMN_GAP, _DROPPED_FIRST, gap=_COLUMN_GAP)
        table = Table(
            title=f"SignalHub — {self._connection_state}",
            caption=Text(fit_line(self._caption, self._console.width), no_wrap=True),
            title_style="bold",
        )
        for name in kept:
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*(row[name] for name in kept))
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
_TYPE_WIDTH: Final = 24
_WIDE_LINE: Final = 100
"""Columns from which on the types of events are padded to one width."""


class CursorParam(click.ParamType[str]):
    """A place in the log, as a number or `<epoch>-<number>`."""

    name = "cursor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        if re.fullmatch(r"(?:[A-Za-z0-9]{1,32}-)?\d{1,18}", str(value), re.ASCII) is None:
            self.fail(f"{value!r} is no place in the log: write a number, or <epoch>-<number>.", param, ctx)
        return str(value)


@click.command()
@click.option(
    "--after", type=CursorParam(), help="Start after this event (its number, or <epoch>-<number>); 0 for all events."
)
@click.option("--types", default="", help="Only these types, such as order.*,signal.rejected.")
@click.option("-n", "--limit", "--count", "max_events", type=click.IntRange(1), help="Stop after this many events.")
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
    resumes after the last event. Ctrl-C stops it, and so does the end of the command that it writes to.
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

    run_with_client(url, key, lambda client: run_while_stdout_is_read(print_events(client)))


async def run_while_stdout_is_read(operation: Coroutine[Any, Any, None]) -> None:
    """Run `operation` until it ends or nobody reads stdout any more, which also shows while there is nothing to print.

    So `signalhub tail | head -2` ends after two events, and not with the third.
    """
    tasks = {asyncio.create_task(operation), asyncio.create_task(wait_for_closed_stdout())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except BrokenPipeError:
        discard_stdout()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def wait_for_closed_stdout() -> None:
    """Return once the reader of a pipe is gone. On a file, or without a file descriptor, it never is."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors are reported always
    except (OSError, ValueError, AttributeError):  # the last on Windows, which has no poll
        await asyncio.Event().wait()
    while not poll.poll(0):  # noqa: ASYNC110 - asyncio reports the end of a reader only where it reads itself
        await asyncio.sleep(_STDOUT_POLL_INTERVAL_S)


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
    head = f"{item.seq:>6}  {item.at:%H:%M:%S}  "
    width = get_terminal_width()
    words = [make_printable(word) for word in describe_event(item)]
    type_width = _TYPE_WIDTH if width is None or width >= _WIDE_LINE else 0
    plain_type = item.type.ljust(type_width)
    available = None if width is None else width - len(head) - len(plain_type) - 1
    summary = fit_line(join_fitting(words, available), available)
    print_line(f"{head}{click.style(plain_type, fg=_EVENT_COLOURS.get(item.type))} {summary}".rstrip())


def join_fitting(words: Sequence[str], available: int | None) -> str:
    """Join as many of the words, from the first, as fit; the first always."""
    text = "".join(words[:1])
    for word in words[1:]:
        if available is not None and cell_len(text) + 1 + cell_len(word) > available:
            break
        text += f" {word}"
    return text


def describe_control_event(item: Reset | Gap) -> str:
    if isinstance(item, Gap):
        return f"Events {item.first} to {item.last} are no longer kept."
    return f"The requested cursor is not in this log ({item.reason}); continuing after event {item.seq}."


def describe_event(event: Event) -> list[str]:
    """Return the data of an event in a few words, the most important first."""
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
        return [f"{data['side']} {data['symbol']}", f"@ {data.get('entry') or 'market'}", *details]
    return [str(data.get("info") or data.get("detail") or data.get("label") or data.get("username") or "")]
