"""The table of `signalhub tail` on a terminal: a row an order, changing in place, the newest at the bottom."""

from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from signalhub.cli.output import make_printable
from signalhub.cli.tail import describe_control_event, summarize_event
from signalhub.client import Event, Item

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
