"""What was sent, decided by its content alone: too much, not text, JSON, or a text to read.

Everything that makes a body unreadable as a whole is found here, before an adapter sees it.
"""

import re
from typing import Final

import msgspec

from signalhub.domain.errors import Problem
from signalhub.grammar.json_tree import JsonNode, MalformedJsonError, parse_json
from signalhub.grammar.parsed_fields import Spanned
from signalhub.grammar.source_text import CONTROL_CHARS, HIDDEN_CHARS, SourceText

MAX_BODY_BYTES: Final = 16 * 1024

_PLACEHOLDER: Final = re.compile(r"\{\{[^{}]*\}\}|%[A-Za-z_][A-Za-z0-9_]*%", re.ASCII)
_WRAPPER_KEYS: Final = ("signal", "content", "text", "message")
_MAX_REPORTED_PROBLEMS: Final = 10


class Body(msgspec.Struct):
    """`text` is what positions refer to; `tree` is there for JSON that is not a wrapper around a text."""

    source: SourceText
    json: JsonNode | None = None
    client_ids: list[Spanned[str]] = []
    simulations: list[Spanned[str]] = []


def decode_body(raw: bytes) -> Body | tuple[Problem, ...]:
    """The body, or why there is none."""
    if len(raw) > MAX_BODY_BYTES:
        return (Problem(code="too_large", hint="Send at most 16 KiB; a signal is a few lines."),)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        hint = f"Send the text as UTF-8; byte {error.start + 1} is not."
        return (Problem(code="not_utf8", hint=hint),)
    return decode_text(text)


def decode_text(text_as_sent: str) -> Body | tuple[Problem, ...]:
    text = SourceText(text_as_sent)
    first = text_as_sent.lstrip(" \t\r\n\ufeff")[:2]
    if first.startswith("{") and first != "{{":
        return _decode_json(text)
    if first.startswith(("[", '"')) and _is_json(text_as_sent):
        return (
            text.build_problem("unsupported_json", 'Send the bare text, or {"signal": "..."}.', 0, len(text_as_sent)),
        )
    return reject_unreadable_characters(Body(text))


def reject_unreadable_characters(body: Body) -> Body | tuple[Problem, ...]:
    """The body, if no character in it deceives and no placeholder is left."""
    text, raw = body.source, body.source.raw
    if not text.clean.strip():
        return (text.build_problem("empty", "Write BUY or SELL, a symbol, SL and TP."),)
    problems = []
    if CONTROL_CHARS.search(raw) or HIDDEN_CHARS.search(raw):
        problems += [
            text.build_problem("control_char", "Remove the invisible character here.", *match.span())
            for pattern in (CONTROL_CHARS, HIDDEN_CHARS)
            for match in pattern.finditer(raw)
        ]
    if "{{" in raw or "%" in raw:
        problems += [
            text.build_problem("unresolved_placeholder", f"{match[0]} was not filled in by the sender.", *match.span())
            for match in _PLACEHOLDER.finditer(raw)
        ]
    return tuple(problems[:_MAX_REPORTED_PROBLEMS]) or body


def _is_json(text: str) -> bool:
    try:
        parse_json(text)
    except MalformedJsonError:
        return False
    return True


def _decode_json(source: SourceText) -> Body | tuple[Problem, ...]:
    try:
        tree = parse_json(source.raw.removeprefix("\ufeff"))
    except MalformedJsonError as error:
        at = int(error.args[0])
        problem = source.build_problem(
            "malformed_json", "This starts like JSON and is none.", at, min(at + 1, len(source.raw))
        )
        body = reject_unreadable_characters(Body(source))
        return (problem,) if isinstance(body, Body) else (problem, *body)
    repeated = _find_repeated_keys(source, tree)
    if repeated:
        return repeated
    return _unwrap(source, tree)


_REPEATED_KEY_CODES: Final = {"sl": "duplicate_sl", "signal": "multiple_signals"}


def _find_repeated_keys(source: SourceText, tree: JsonNode) -> tuple[Problem, ...]:
    """A key given twice has two values, and every decoder silently takes one."""
    seen: set[str] = set()
    problems = []
    for key, node in tree.members:
        if key in seen:
            code = _REPEATED_KEY_CODES.get(key.lower(), "unsupported_json")
            problems.append(source.build_problem(code, f'Give "{key}" once.', *node.key_span))
        seen.add(key)
    return tuple(problems)


_SIDE_WORDS: Final = frozenset({"buy", "sell", "long", "short"})
_SIGNAL_KEYS: Final = frozenset({"action", "side", "symbol", "ticker", "sl", "tp", "stopLoss", "takeProfit", "asset"})


def _unwrap(source: SourceText, tree: JsonNode) -> Body | tuple[Problem, ...]:
    """The text inside `{"signal": "..."}`, or the object itself."""
    members = dict(tree.members)
    key = next((name for name in _WRAPPER_KEYS if name in members), None)
    if key is None or _SIGNAL_KEYS & members.keys():
        return reject_unreadable_characters(Body(source, tree))
    node = members[key]
    if node.kind != "string":
        return (source.build_problem("unsupported_json", f'Give "{key}" the signal as a text.', node.start, node.end),)
    if node.text.strip().lower() in _SIDE_WORDS and len(members) > 1:
        return reject_unreadable_characters(Body(source, tree))
    inner = Body(SourceText(node.text))
    inner.client_ids = _read_text_member(members, "id")
    inner.simulations = _read_text_member(members, "sim")
    return reject_unreadable_characters(inner)


def _read_text_member(members: dict[str, JsonNode], key: str) -> list[Spanned[str]]:
    node = members.get(key)
    return [Spanned(node.text, 0, 0)] if node is not None and node.kind in ("string", "number") and node.text else []
