"""What commands print: sentences for people, JSON for scripts, colours on a terminal only.

Errors and progress go to stderr, what was asked for to stdout, so that a pipe gets data and nothing else.
"""

import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
import msgspec

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def print_line(sentence: str = "") -> None:
    click.echo(sentence)


def print_note(sentence: str) -> None:
    """Say something beside the matter, where it cannot end up in somebody's data."""
    click.echo(click.style(sentence, dim=True), err=True)


def exit_with_error(sentence: str, *, status: int = 1) -> NoReturn:
    click.echo(click.style("error: ", fg="red", bold=True) + sentence, err=True)
    sys.exit(status)


def print_json(value: object) -> None:
    """One line of JSON, out at once: whoever reads the pipe may be waiting for it."""
    click.echo(msgspec.json.encode(value))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be, under a header that only a person gets to see."""
    lines = [[make_printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        lines = [list(header), *lines]
    widths = [max(len(line[place]) for line in lines) if lines else 0 for place in range(len(header))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        click.echo(click.style(text, bold=True) if number == 0 and sys.stdout.isatty() else text)


def make_printable(text: str) -> str:
    """`text` with a dot for each control character: one of them could rewrite the terminal."""
    return _CONTROL_CHARACTERS.sub("·", text)
