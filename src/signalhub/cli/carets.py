"""Problems of a text, each with its line and a caret under the place."""

import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from signalhub.cli.output import make_printable, print_line, print_note
from signalhub.domain.errors import REFUSALS, Problem

_TEXT_FIELDS = ("signal", "content", "text", "message")
_MAX_LINE_WIDTH = 110


def print_problems(text: str, problems: Sequence[Problem]) -> None:
    lines = _extract_text(text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in problems:
        title = REFUSALS[problem.code].title if problem.code in REFUSALS else problem.code
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
