"""`signalhub parse`: the grammar at the terminal, without a server, for people and for scripts."""

import sys
from typing import BinaryIO

import click
import msgspec

from signalhub import grammar
from signalhub.cli.carets import given, show_problems
from signalhub.cli.output import printable, say, show_json
from signalhub.domain.errors import Problem
from signalhub.domain.signal import SignalView, view


class _Line(msgspec.Struct, forbid_unknown_fields=False):
    text: str


class _Good(msgspec.Struct, frozen=True):
    ok: bool
    signal: SignalView


class _Bad(msgspec.Struct, frozen=True):
    ok: bool
    errors: tuple[Problem, ...]


@click.command()
@click.argument("text", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the whole explanation as one line of JSON.")
@click.option("--jsonl", is_flag=True, help='Read a {"text": …} a line from stdin, write a verdict a line.')
def parse(text: tuple[str, ...], *, as_json: bool, jsonl: bool) -> None:
    """Explain TEXT (or what stdin has) without sending it.

    Shows what was understood, which words it came from, what was ignored, and every problem with its place. It is the
    same grammar as the service's, and needs no service. Exit status 1 where the text is no signal.

    \b
    signalhub parse BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890
    signalhub parse --jsonl < texts.jsonl
    """  # noqa: D301 - \b is the character that click looks for
    if jsonl:
        if text or as_json:
            raise click.UsageError("--jsonl reads stdin and goes with nothing else.")
        _each_line(sys.stdin.buffer)
        return
    sent = given(text)
    found = grammar.explain(sent.encode(errors="surrogateescape"))
    if as_json:
        show_json(found)
    else:
        _show(sent, found)
    if not found.ok:
        sys.exit(1)


def _each_line(stdin: BinaryIO) -> None:
    for line in stdin:
        if line.strip():
            show_json(_verdict(line))


def _verdict(line: bytes) -> _Good | _Bad:
    try:
        read = grammar.parse(msgspec.json.decode(line, type=_Line).text.encode())
    except msgspec.MsgspecError as error:
        return _Bad(False, (Problem(code="malformed_json", hint=f'A line is to be {{"text": …}}: {error}.'),))
    return _Good(True, view(read.signal)) if isinstance(read, grammar.Understood) else _Bad(False, read.problems)


def _show(sent: str, found: grammar.Explanation) -> None:
    if found.info is not None:
        say(click.style(found.info, fg="green", bold=True))
    for part in found.parts:
        place = click.style(f"{part.line}:{part.column}", dim=True)
        say(f"  {part.kind:<12} {printable(part.value):<16} {place} {printable(part.text)}")
    for ignored in found.ignored:
        say(click.style(f"  ignored      {printable(ignored.text)} ({ignored.reason})", dim=True))
    for note in found.notes:
        say(click.style(f"  note         {printable(note)}", fg="yellow"))
    if found.canonical is not None:
        say(f"\n{found.canonical}")
    show_problems(sent, found.problems)
