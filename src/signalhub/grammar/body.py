"""Decode the bytes of a request: a text, JSON, or the problems that make the whole body unreadable.

The content decides, not a `Content-Type`. No format sees a body before it has passed here.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from signalhub.domain.errors import GrammarErrorCode, Problem
from signalhub.grammar.json_tree import JsonNode, MalformedJsonError, parse_json
from signalhub.grammar.parsed_fields import ParsedFields, Spanned
from signalhub.grammar.source_text import CONTROL_CHARS, HIDDEN_CHARS, SourceText

MAX_BODY_BYTES: Final = 16 * 1024

_PLACEHOLDER: Final = re.compile(r"\{\{[^{}]*\}\}|%[A-Za-z_][A-Za-z0-9_]*%", re.ASCII)
_WRAPPER_KEYS: Final = ("signal", "content", "text", "message")
_SIGNAL_KEYS: Final = frozenset({"action", "side", "symbol", "ticker", "sl", "tp", "stopLoss", "takeProfit", "asset"})
_SIDE_WORDS: Final = frozenset({"buy", "sell", "long", "short"})
_REPEATED_KEY_CODES: Final[dict[str, GrammarErrorCode]] = {"sl": "duplicate_sl", "signal": "multiple_signals"}
_MAX_REPORTED_PROBLEMS: Final = 10


class Body(msgspec.Struct):
    """`source` is the text that positions refer to. `json` is set unless it only wraps a text."""

    source: SourceText
    json: JsonNode | None = None
    client_ids: list[Spanned[str]] = []
    simulations: list[Spanned[str]] = []


def decode_body(raw: bytes) -> Body | tuple[Problem, ...]:
    """Return the body, or at least one problem."""
    if len(raw) > MAX_BODY_BYTES:
        return (Problem(code="too_large", hint="Send at most 16 KiB; a signal is a few lines."),)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        hint = f"Send the text as UTF-8; byte {error.start + 1} is not."
        return (Problem(code="not_utf8", hint=hint),)
    source = SourceText(text)
    first = text.lstrip(" \t\r\n\ufeff")[:2]
    if first.startswith("{") and first != "{{":  # `{{` begins a placeholder
        return _decode_json(source)
    # Other JSON is refused, but a text may begin with a quotation mark or a bracket, too.
    if first.startswith(("[", '"')):
        try:
            parse_json(text)
        except MalformedJsonError:
            return reject_unreadable_characters(Body(source))
        return (source.build_problem("unsupported_json", 'Send the bare text, or {"signal": "..."}.', 0, len(text)),)
    return reject_unreadable_characters(Body(source))


def reject_unreadable_characters(body: Body) -> Body | tuple[Problem, ...]:
    """Return the body, or the problems of one with misleading characters or unfilled placeholders."""
    source, raw = body.source, body.source.raw
    if not source.clean.strip():
        return (source.build_problem("empty", "Write BUY or SELL, a symbol, SL and TP."),)
    problems = []
    # No character of HIDDEN_CHARS is ASCII, and its pattern tries every position of the text.
    if CONTROL_CHARS.search(raw) or (not raw.isascii() and HIDDEN_CHARS.search(raw)):
        problems += [
            source.build_problem("control_char", "Remove the invisible character here.", *match.span())
            for pattern in (CONTROL_CHARS, HIDDEN_CHARS)
            for match in pattern.finditer(raw)
        ]
    if "{{" in raw or "%" in raw:
        problems += [
            source.build_problem(
                "unresolved_placeholder", f"{match[0]} was not filled in by the sender.", *match.span()
            )
            for match in _PLACEHOLDER.finditer(raw)
        ]
    return tuple(problems[:_MAX_REPORTED_PROBLEMS]) or body


def _decode_json(source: SourceText) -> Body | tuple[Problem, ...]:
    try:
        tree = parse_json(source.raw.removeprefix("\ufeff"))
    except MalformedJsonError as error:
        index = int(error.args[0])
        end = min(index + 1, len(source.raw))
        problem = source.build_problem("malformed_json", "This starts like JSON and is none.", index, end)
        # An unfilled placeholder is often the cause, so it is reported with the error.
        body = reject_unreadable_characters(Body(source))
        return (problem,) if isinstance(body, Body) else (problem, *body)
    return find_repeated_keys(source, tree) or unwrap_text(source, tree)


def find_repeated_keys(source: SourceText, tree: JsonNode) -> tuple[Problem, ...]:
    """Report each key that is given twice: it has two values, and a standard decoder would take one of them."""
    keys: set[str] = set()
    problems = []
    for key, node in tree.members:
        if key in keys:
            code = _REPEATED_KEY_CODES.get(key.lower(), "unsupported_json")
            problems.append(source.build_problem(code, f'Give "{key}" once.', *node.key_span))
        keys.add(key)
    return tuple(problems)


def unwrap_text(source: SourceText, tree: JsonNode) -> Body | tuple[Problem, ...]:
    """Return the text inside `{"signal": "..."}` as the body, or the object itself if it is no wrapper."""
    members = dict(tree.members)
    wrapper_key = next((key for key in _WRAPPER_KEYS if key in members), None)
    if wrapper_key is None or _SIGNAL_KEYS & members.keys():
        return reject_unreadable_characters(Body(source, tree))
    node = members[wrapper_key]
    if node.kind != "string":
        hint = f'Give "{wrapper_key}" the signal as a text.'
        return (source.build_problem("unsupported_json", hint, node.start, node.end),)
    # `{"signal": "buy", "pair": "EURUSD", ...}` is an alert whose side is named "signal".
    if node.text.strip().lower() in _SIDE_WORDS and len(members) > 1:
        return reject_unreadable_characters(Body(source, tree))
    inner = Body(SourceText(node.text))
    for key, values in (("id", inner.client_ids), ("sim", inner.simulations)):
        member = members.get(key)
        if member is not None and member.kind in ("string", "number") and member.text:
            values.append(Spanned(member.text, 0, 0))  # its position would be one of the JSON, not of the inner text
    return reject_unreadable_characters(inner)


class Format(msgspec.Struct, frozen=True):
    """`matches` runs for bodies of other formats, too: it must be cheap and must not accept them."""

    name: str
    matches: Callable[[Body], bool]
    parse: Callable[[Body], ParsedFields]
