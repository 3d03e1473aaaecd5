"""Problems of a text, each with its line and a caret under the place."""

import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from signalhub.cli.output import printable, remark, say
from signalhub.domain.errors import REFUSALS, Problem

_WRAPPERS = ("signal", "content", "text", "message")
_WIDEST = 110


def show_problems(sent: str, problems: Sequence[Problem]) -> None:
    lines = _text_of(sent).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in problems:
        title = REFUSALS[problem.code].title if problem.code in REFUSALS else problem.code
        say(click.style(title, fg="red", bold=True) + click.style(f"  {problem.code}", dim=True))
        if problem.length and problem.line <= len(lines):
            _show_place(lines[problem.line - 1], problem)
        say(f"      {problem.hint}")


def _show_place(line: str, problem: Problem) -> None:
    begin = problem.column - 1
    fault = line[begin : begin + problem.length]
    # A long line is shown from a little before the fault.
    start = max(0, begin - 40) if len(line) > _WIDEST else 0
    gutter = f"{problem.line:>4} | "
    say(click.style(gutter, dim=True) + printable(line[start : start + _WIDEST]))
    carets = "^" * max(1, min(_width(fault), _WIDEST - _width(line[start:begin])))
    say(" " * (len(gutter) + _width(line[start:begin])) + click.style(carets, fg="red", bold=True))


def _text_of(sent: str) -> str:
    """The text that positions count in: of a wrapper such as {"signal": "…"}, the inner one."""
    try:
        found: Any = msgspec.json.decode(sent)
    except msgspec.MsgspecError:
        return sent
    if not isinstance(found, dict):
        return sent
    return next((found[name] for name in _WRAPPERS if isinstance(found.get(name), str)), sent)


def _width(text: str) -> int:
    """Columns on a terminal: two for an ideograph or an emoji, none for what sits on the character before."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def given(words: Sequence[str]) -> str:
    """The text of `TEXT…` on the command line, or of stdin where there is none or a `-`."""
    if words and tuple(words) != ("-",):
        return " ".join(words)
    if sys.stdin.isatty():
        remark("Type the signal, then Ctrl-D.")
    # Whatever bytes these are, the service and the grammar are to see the same ones.
    return sys.stdin.buffer.read().decode(errors="surrogateescape")
