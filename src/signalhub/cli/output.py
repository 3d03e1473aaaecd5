"""What commands print: sentences for people, JSON for scripts, colours on a terminal only.

Errors and progress go to stderr, what was asked for to stdout, so that a pipe gets data and nothing else.


A database driver's complaint, as a person wants to read it.

Problems of a text, each with its line and a caret under the place.
"""

import re
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any, NoReturn

import click
import msgspec

from signalhub.domain.errors import ERRORS, Problem

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


def summarize_error(error: Exception) -> str:
    """What a driver complains of, in one line and without the statement it was at."""
    cause = getattr(error, "orig", None) or error
    first = str(cause).strip().partition("\n")[0]
    return first.rpartition("'>: ")[2] or type(cause).__name__


_TEXT_FIELDS = ("signal", "content", "text", "message")
_MAX_LINE_WIDTH = 110


def print_problems(text: str, problems: Sequence[Problem]) -> None:
    lines = _extract_text(text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in problems:
        title = ERRORS[problem.code].title if problem.code in ERRORS else problem.code
        print_line(click.style(title, fg="red", bold=True) + click.style(f"  {problem.code}", dim=True))
        if problem.length and problem.line <= len(lines):
            _print_location(lines[problem.line - 1], problem)
        print_line(f"      {problem.hint}")


def _print_location(line: str, problem: Problem) -> None:
    begin = problem.column - 1
    fault = line[begin : begin + problem.length]
    # A long line is shown from a little before the fault.
    start = max(0, begin - 40) if len(line) > _MAX_LINE_WIDTH else 0
    gutter = f"{problem.line:>4} | "
    print_line(click.style(gutter, dim=True) + make_printable(line[start : start + _MAX_LINE_WIDTH]))
    carets = "^" * max(1, min(_display_width(fault), _MAX_LINE_WIDTH - _display_width(line[start:begin])))
    print_line(" " * (len(gutter) + _display_width(line[start:begin])) + click.style(carets, fg="red", bold=True))


def _extract_text(text: str) -> str:
    """The text that positions count in: of a wrapper such as {"signal": "…"}, the inner one."""
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
    if not isinstance(found, dict):
        return text
    return next((found[name] for name in _TEXT_FIELDS if isinstance(found.get(name), str)), text)


def _display_width(text: str) -> int:
    """Columns on a terminal: two for an ideograph or an emoji, none for what sits on the character before."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def read_text_argument(arguments: Sequence[str]) -> str:
    """The text of `TEXT…` on the command line, or of stdin where there is none or a `-`."""
    if arguments and tuple(arguments) != ("-",):
        return " ".join(arguments)
    if sys.stdin.isatty():
        print_note("Type the signal, then Ctrl-D.")
    # Whatever bytes these are, the service and the grammar are to see the same ones.
    return sys.stdin.buffer.read().decode(errors="surrogateescape")
