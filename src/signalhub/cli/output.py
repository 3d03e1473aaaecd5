"""Output of commands: sentences for people, JSON for scripts, colours on a terminal only.

Results go to stdout, errors and progress to stderr, so that a pipe gets data and nothing else.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
import msgspec

from signalhub.domain.errors import ERRORS, Problem

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

JUST_RECIPES_VARIABLE: Final = "JUST_RECIPES"
"""Set by the justfile: the recipes that run the command of their name."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def json_option(command: CommandT) -> CommandT:
    """Add --json to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_line(sentence: str = "") -> None:
    click.echo(sentence)


def print_note(sentence: str) -> None:
    """Print a remark to stderr, so that it is not in the data of a pipe."""
    click.echo(click.style(sentence, dim=True), err=True)


def format_command(arguments: str) -> str:
    """Return a command line that works in the directory in which this command was started.

    That is `just …` where `just` started it and has a recipe for it, else `signalhub …` with the path of this program
    where the shell would not find it.
    """
    program = Path(sys.argv[0])
    # A data directory of one's own is how a second command finds the service.
    prefix = f"SIGNALHUB_DATA_DIR={shlex.quote(text)} " if (text := os.environ.get("SIGNALHUB_DATA_DIR")) else ""
    if arguments.partition(" ")[0] in os.environ.get(JUST_RECIPES_VARIABLE, "").split():
        return f"{prefix}just {arguments}"
    if program.name == "__main__.py":
        return f"{prefix}{shlex.quote(sys.executable)} -m signalhub {arguments}"
    if program.name != "signalhub" or shutil.which("signalhub") == str(program.absolute()):
        return f"{prefix}signalhub {arguments}"
    is_below = program.is_absolute() and program.is_relative_to(Path.cwd())
    return f"{prefix}{shlex.quote(str(program.relative_to(Path.cwd()) if is_below else program))} {arguments}"


def get_color() -> bool | None:
    """Return whether this command's output has colours; None unless --color or NO_COLOR says: on a terminal only."""
    return click.get_current_context().color


def exit_with_error(sentence: str, *, status: int = 1) -> NoReturn:
    click.echo(click.style("error: ", fg="red", bold=True) + sentence, err=True)
    sys.exit(status)


def discard_stdout() -> None:
    """Send what is still to be written to nowhere: the reader of the pipe is gone, and flushing would fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: object) -> None:
    """Print one line of JSON and flush it: the reader of a pipe may be waiting for it."""
    click.echo(msgspec.json.encode(value))


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
        if problem.header:
            print_line(click.style(f"      {problem.header}: ", dim=True) + make_printable(problem.text))
        elif problem.place is not None:
            line_number, column, length = problem.place
            if length and line_number <= len(lines):
                _print_location(lines[line_number - 1], line_number, column - 1, length)
        print_line(f"      {problem.hint}")


def _print_location(line: str, line_number: int, column: int, length: int) -> None:
    """Print the line with carets under `length` characters from `column`, which counts from 0 here."""
    from rich.cells import cell_len  # noqa: PLC0415 - it takes longer to load than a text takes to parse

    problem_text = line[column : column + length]
    # A long line is cut 40 characters before the problem.
    start = max(0, column - 40) if len(line) > _MAX_LINE_WIDTH else 0
    gutter = f"{line_number:>4} | "
    print_line(click.style(gutter, dim=True) + make_printable(line[start : start + _MAX_LINE_WIDTH]))
    carets = "^" * max(1, min(cell_len(problem_text), _MAX_LINE_WIDTH - cell_len(line[start:column])))
    print_line(" " * (len(gutter) + cell_len(line[start:column])) + click.style(carets, fg="red", bold=True))


def _extract_text(text: str) -> str:
    """Return the text that positions refer to: of a wrapper such as {"signal": "…"}, the inner text."""
    try:
        wrapper: Any = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
    if not isinstance(wrapper, dict):
        return text
    return next((wrapper[name] for name in _TEXT_FIELDS if isinstance(wrapper.get(name), str)), text)


def read_text_argument(arguments: Sequence[str]) -> str:
    """Return the text of the arguments, or of stdin where there are none or a `-`."""
    if arguments and tuple(arguments) != ("-",):
        return " ".join(arguments)
    if sys.stdin.isatty():
        print_note("Type the signal, then Ctrl-D.")
    # Surrogates keep bytes that are not UTF-8, so that service and grammar see the same ones.
    return sys.stdin.buffer.read().decode(errors="surrogateescape")
