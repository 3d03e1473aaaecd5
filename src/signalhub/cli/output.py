"""What commands print: sentences for people, JSON for scripts, colours on a terminal only."""

import sys
from typing import NoReturn

import msgspec
from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(sentence: str, *, status: int = 1) -> NoReturn:
    err.print(f"[red]error:[/red] {_plain(sentence)}")
    sys.exit(status)


def show_json(value: object) -> None:
    """One line of JSON."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
