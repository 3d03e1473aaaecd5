"""Tables that fit the terminal: columns are left out, in a stated order, before a line would wrap or be cut.

Into a pipe go all columns, without a header, so that a script does not depend on somebody's window.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import click
from rich.cells import cell_len, set_cell_size

from signalhub.cli.output import make_printable

COLUMN_GAP: Final = 2


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, dropped_first: Sequence[str] = ()) -> None:
    """Print aligned columns. On a narrow terminal, columns are left out in the order of `dropped_first`."""
    lines = [[make_printable(cell) for cell in row] for row in rows]
    width = get_terminal_width()
    if width is not None:
        lines = [list(header), *lines]
    widths = {name: max((cell_len(line[number]) for line in lines), default=0) for number, name in enumerate(header)}
    kept = select_columns(widths, width, dropped_first, gap=COLUMN_GAP)
    for number, line in enumerate(lines):
        cells = [set_cell_size(line[column], widths[name]) for column, name in enumerate(header) if name in kept]
        text = fit_line((" " * COLUMN_GAP).join(cells).rstrip(), width)
        click.echo(click.style(text, bold=True) if number == 0 and width is not None else text)


def get_terminal_width() -> int | None:
    """Return the columns of the terminal, or None where the output is not one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def select_columns(
    widths: Mapping[str, int], available: int | None, dropped_first: Sequence[str], *, gap: int
) -> list[str]:
    """Return the names of the columns that fit into `available`, with `gap` between two of them."""
    kept = list(widths)
    for name in dropped_first:
        if available is None or sum(widths[column] + gap for column in kept) - gap <= available:
            break
        kept.remove(name)
    return kept


def fit_line(text: str, width: int | None) -> str:
    """Cut a line that is still too wide, so that it does not wrap, and mark the cut with an ellipsis."""
    if width is None or cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"
