"""`signalhub parse`: the grammar at the terminal, without a server, for people and for scripts."""

import sys
from typing import BinaryIO

import click
import msgspec

from signalhub import grammar
from signalhub.cli.output import make_printable, print_json, print_line, print_problems, read_text_argument
from signalhub.domain.errors import Problem
from signalhub.domain.signal import SignalView, to_signal_view


class _ParseRequest(msgspec.Struct, forbid_unknown_fields=False):
    text: str


class _ParsedVerdict(msgspec.Struct, frozen=True):
    ok: bool
    signal: SignalView


class _RejectedVerdict(msgspec.Struct, frozen=True):
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
        _parse_lines(sys.stdin.buffer)
        return
    sent = read_text_argument(text)
    found = grammar.explain(sent.encode(errors="surrogateescape"))
    if as_json:
        print_json(found)
    else:
        _print_explanation(sent, found)
    if not found.ok:
        sys.exit(1)


def _parse_lines(stdin: BinaryIO) -> None:
    for line in stdin:
        if line.strip():
            print_json(_parse_line(line))


def _parse_line(line: bytes) -> _ParsedVerdict | _RejectedVerdict:
    try:
        read = grammar.parse(msgspec.json.decode(line, type=_ParseRequest).text.encode())
    except msgspec.MsgspecError as error:
        return _RejectedVerdict(
            False, (Problem(code="malformed_json", hint=f'A line is to be {{"text": …}}: {error}.'),)
        )
    return (
        _ParsedVerdict(True, to_signal_view(read.signal))
        if isinstance(read, grammar.ParsedSignal)
        else _RejectedVerdict(False, read.problems)
    )


def _print_explanation(text: str, explanation: grammar.Explanation) -> None:
    if explanation.info is not None:
        print_line(click.style(explanation.info, fg="green", bold=True))
    for part in explanation.parts:
        place = click.style(f"{part.line}:{part.column}", dim=True)
        print_line(f"  {part.kind:<12} {make_printable(part.value):<16} {place} {make_printable(part.text)}")
    for ignored in explanation.ignored:
        print_line(click.style(f"  ignored      {make_printable(ignored.text)} ({ignored.reason})", dim=True))
    for note in explanation.notes:
        print_line(click.style(f"  note         {make_printable(note)}", fg="yellow"))
    if explanation.canonical is not None:
        print_line(f"\n{explanation.canonical}")
    print_problems(text, explanation.problems)
