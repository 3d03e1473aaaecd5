"""What was sent, decided by its content alone: too much, not text, JSON, or a text to read.

Everything that makes a body unreadable as a whole is found here, before an adapter sees it.
"""

import re
from typing import Final

import msgspec

from signalhub.domain.errors import Problem
from signalhub.grammar.characters import CONTROL, HIDDEN
from signalhub.grammar.draft import Found
from signalhub.grammar.text import Text
from signalhub.grammar.tree import Malformed, Node, parse

LARGEST: Final = 16 * 1024

_PLACEHOLDER: Final = re.compile(r"\{\{[^{}]*\}\}|%[A-Za-z_][A-Za-z0-9_]*%", re.ASCII)
_WRAPPERS: Final = ("signal", "content", "text", "message")
_MOST_REPORTED: Final = 10


class Body(msgspec.Struct):
    """`text` is what positions refer to; `tree` is there for JSON that is not a wrapper around a text."""

    text: Text
    tree: Node | None = None
    client_ids: list[Found[str]] = []
    simulations: list[Found[str]] = []


def open_body(raw: bytes) -> Body | tuple[Problem, ...]:
    """The body, or why there is none."""
    if len(raw) > LARGEST:
        return (Problem(code="too_large", hint="Send at most 16 KiB; a signal is a few lines."),)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        hint = f"Send the text as UTF-8; byte {error.start + 1} is not."
        return (Problem(code="not_utf8", hint=hint),)
    return open_text(text)


def open_text(sent: str) -> Body | tuple[Problem, ...]:
    text = Text(sent)
    first = sent.lstrip(" \t\r\n\ufeff")[:2]
    if first.startswith("{") and first != "{{":
        return _open_json(text)
    if first.startswith(("[", '"')) and _parses(sent):
        return (text.problem("unsupported_json", 'Send the bare text, or {"signal": "..."}.', 0, len(sent)),)
    return screened(Body(text))


def screened(body: Body) -> Body | tuple[Problem, ...]:
    """The body, if no character in it deceives and no placeholder is left."""
    text, raw = body.text, body.text.raw
    if not text.clean.strip():
        return (text.problem("empty", "Write BUY or SELL, a symbol, SL and TP."),)
    problems = []
    if CONTROL.search(raw) or HIDDEN.search(raw):
        problems += [
            text.problem("control_char", "Remove the invisible character here.", *match.span())
            for pattern in (CONTROL, HIDDEN)
            for match in pattern.finditer(raw)
        ]
    if "{{" in raw or "%" in raw:
        problems += [
            text.problem("unresolved_placeholder", f"{match[0]} was not filled in by the sender.", *match.span())
            for match in _PLACEHOLDER.finditer(raw)
        ]
    return tuple(problems[:_MOST_REPORTED]) or body


def _parses(sent: str) -> bool:
    try:
        parse(sent)
    except Malformed:
        return False
    return True


def _open_json(text: Text) -> Body | tuple[Problem, ...]:
    try:
        tree = parse(text.raw.removeprefix("\ufeff"))
    except Malformed as error:
        at = int(error.args[0])
        problem = text.problem("malformed_json", "This starts like JSON and is none.", at, min(at + 1, len(text.raw)))
        body = screened(Body(text))
        return (problem,) if isinstance(body, Body) else (problem, *body)
    repeated = _repeated(text, tree)
    if repeated:
        return repeated
    return _unwrapped(text, tree)


_REPEATED: Final = {"sl": "duplicate_sl", "signal": "multiple_signals"}


def _repeated(text: Text, tree: Node) -> tuple[Problem, ...]:
    """A key given twice has two values, and every decoder silently takes one."""
    seen: set[str] = set()
    problems = []
    for key, node in tree.members:
        if key in seen:
            code = _REPEATED.get(key.lower(), "unsupported_json")
            problems.append(text.problem(code, f'Give "{key}" once.', *node.key))
        seen.add(key)
    return tuple(problems)


_SIDES: Final = frozenset({"buy", "sell", "long", "short"})
_FIELDS: Final = frozenset({"action", "side", "symbol", "ticker", "sl", "tp", "stopLoss", "takeProfit", "asset"})


def _unwrapped(text: Text, tree: Node) -> Body | tuple[Problem, ...]:
    """The text inside `{"signal": "..."}`, or the object itself."""
    members = dict(tree.members)
    key = next((name for name in _WRAPPERS if name in members), None)
    if key is None or _FIELDS & members.keys():
        return screened(Body(text, tree))
    node = members[key]
    if node.kind != "string":
        return (text.problem("unsupported_json", f'Give "{key}" the signal as a text.', node.start, node.end),)
    if node.text.strip().lower() in _SIDES and len(members) > 1:
        return screened(Body(text, tree))
    inner = Body(Text(node.text))
    inner.client_ids = _texts(members, "id")
    inner.simulations = _texts(members, "sim")
    return screened(inner)


def _texts(members: dict[str, Node], key: str) -> list[Found[str]]:
    node = members.get(key)
    return [Found(node.text, 0, 0)] if node is not None and node.kind in ("string", "number") and node.text else []
