"""Output of commands: sentences for people, JSON for scripts, colours on a terminal only.

Results go to stdout, errors and progress to stderr, so that a pipe gets data and nothing else.
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
    """Print a remark to stderr, so that it is not in the data of a pipe."""
    click.echo(click.style(sentence, dim=True), err=True)


def exit_with_error(sentence: str, *, status: int = 1) -> NoReturn:
    click.echo(click.style("error: ", fg="red", bold=True) + sentence, err=True)
    sys.exit(status)


def print_json(value: object) -> None:
    """Print one line of JSON and flush it: the reader of a pipe may be waiting for it."""
    click.echo(msgspec.json.encode(value))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, with a header only on a terminal."""
    lines = [[make_printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        lines = [list(header), *lines]
    widths = [max(len(line[column]) for line in lines) if lines else 0 for column in range(len(header))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        click.echo(click.style(text, bold=True) if number == 0 and sys.stdout.isatty() else text)


def make_printable(text: str) -> str:
    """Return `text` with a dot for each control character, which could rewrite the terminal."""
    return _CONTROL_CHARACTERS.sub("·", text)


def summarize_error(error: Exception) -> str:
    """Return the message of a database driver in one line, without the SQL statement."""
    cause = getattr(error, "orig", None) or error
    first = str(cause).strip().partition("\n")[0]
    return first.rpartition("'>: ")[2] or type(cause).__name__


_TEXT_FIELDS = ("signal", "content", "text", "message")
_MAX_LINE_WIDTH = 110


def print_problems(text: str, problems: Sequence[Problem]) -> None:
    """Print each problem of a signal, with its line of the text and carets under its position."""
    lines = _extract_text(text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in problems:
        title = ERRORS[problem.code].title if problem.code in ERRORS else problem.code
        print_line(click.style(title, fg="red", bold=True) + click.style(f"  {problem.code}", dim=True))
        if problem.length and problem.line <= len(lines):
            _print_location(lines[problem.line - 1], problem)
        print_line(f"      {problem.hint}")


def _print_location(line: str, problem: Problem) -> None:
    column = problem.column - 1
    problem_text = line[column : column + problem.length]
    # A long line is cut 40 characters before the problem.
    start = max(0, column - 40) if len(line) > _MAX_LINE_WIDTH else 0
    gutter = f"{problem.line:>4} | "
    print_line(click.style(gutter, dim=True) + make_printable(line[start : start + _MAX_LINE_WIDTH]))
    carets = "^" * max(1, min(_display_width(problem_text), _MAX_LINE_WIDTH - _display_width(line[start:column])))
    print_line(" " * (len(gutter) + _display_width(line[start:column])) + click.style(carets, fg="red", bold=True))


def _extract_text(text: str) -> str:
    """Return the text that positions refer to: of a wrapper such as {"signal": "…"}, the inner text."""
    try:
        wrapper: Any = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
    if not isinstance(wrapper, dict):
        return text
    return next((wrapper[name] for name in _TEXT_FIELDS if isinstance(wrapper.get(name), str)), text)


def _display_width(text: str) -> int:
    """Return the width in terminal columns: two for an ideograph or emoji, none for a combining character."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def read_text_argument(arguments: Sequence[str]) -> str:
    """Return the text of the arguments, or of stdin where there are none or a `-`."""
    if arguments and tuple(arguments) != ("-",):
        return " ".join(arguments)
    if sys.stdin.isatty():
        print_note("Type the signal, then Ctrl-D.")
    # Surrogates keep bytes that are not UTF-8, so that service and grammar see the same ones.
    return sys.stdin.buffer.read().decode(errors="surrogateescape")
