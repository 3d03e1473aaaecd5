"""`signalhub parse`: explain signal texts at the terminal, without a server."""

import sys
from typing import BinaryIO

import click
import msgspec
from msgspec.structs import replace

from signalhub import grammar
from signalhub.cli.output import make_printable, print_json, print_line, print_note, print_problems, read_text_argument
from signalhub.domain.errors import Problem
from signalhub.domain.identifiers import mask_secrets_in_bytes, to_masking_notices
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
@click.option("--jsonl", is_flag=True, help='Read lines of {"text": …} from stdin, write one verdict for each.')
def parse(text: tuple[str, ...], *, as_json: bool, jsonl: bool) -> None:
    """Explain TEXT (or stdin) without sending it.

    Shows the parts of the signal with the words they come from, ignored text, and each problem with its position. It
    uses the grammar of the service, but needs no service. Exit status 1 where the text is not a valid signal.

    \b
    signalhub parse BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890
    signalhub parse --jsonl < texts.jsonl
    """  # noqa: D301 - \b is the character that click looks for
    if jsonl:
        if text or as_json:
            raise click.UsageError("--jsonl reads stdin and cannot be combined with TEXT or --json.")
        _parse_lines(sys.stdin.buffer)
        return
    sent = read_text_argument(text)
    raw, credentials = mask_secrets_in_bytes(sent.encode(errors="surrogateescape"))
    sent = raw.decode(errors="surrogateescape")
    explanation = replace(grammar.explain(raw), notices=to_masking_notices(credentials) or msgspec.UNSET)
    if as_json:
        print_json(explanation)
    else:
        _print_explanation(sent, explanation)
    if not explanation.ok:
        sys.exit(1)


def _parse_lines(stdin: BinaryIO) -> None:
    for line in stdin:
        if line.strip():
            print_json(_parse_line(line))


def _parse_line(line: bytes) -> _ParsedVerdict | _RejectedVerdict:
    try:
        raw, _ = mask_secrets_in_bytes(msgspec.json.decode(line, type=_ParseRequest).text.encode())
        result = grammar.parse(raw)
    except msgspec.MsgspecError as error:
        return _RejectedVerdict(
            False, (Problem(code="malformed_json", hint=f'Each line must be {{"text": …}}: {error}.'),)
        )
    return (
        _ParsedVerdict(True, to_signal_view(result.signal))
        if isinstance(result, grammar.ParsedSignal)
        else _RejectedVerdict(False, result.problems)
    )


def _print_explanation(text: str, explanation: grammar.Explanation) -> None:
    if explanation.info is not None:
        print_line(click.style(explanation.info, fg="green", bold=True))
    for part in explanation.parts:
        if part.kind == "note":  # below, each once
            continue
        position = click.style(f"{part.line}:{part.column}", dim=True)
        print_line(f"  {part.kind:<12} {make_printable(part.value):<16} {position} {make_printable(part.text)}")
    for ignored in explanation.ignored:
        print_line(click.style(f"  ignored      {make_printable(ignored.text)} ({ignored.reason})", dim=True))
    for note in explanation.notes:
        print_line(click.style(f"  note         {make_printable(note)}", fg="yellow"))
    for notice in explanation.notices or ():
        print_note(notice.detail)
    if explanation.canonical is not None:
        print_line(f"\n{explanation.canonical}")
    print_problems(text, explanation.problems)
