"""What may stand beside a price and changes nothing: a currency, a measure, a remark in brackets."""

from typing import Final

from signalhub.grammar.measures import measure
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import exact
from signalhub.grammar.vocabulary import Kind

_LONGEST_ASIDE: Final = 16
_MARKS: Final = frozenset("-|/+,")
_LABELS: Final = frozenset({Kind.NEWLINE, Kind.SL, Kind.TP, Kind.ENTRY, Kind.SIDE})
_POSSIBLE: Final = frozenset({Kind.MARK, Kind.MONEY, Kind.NUMBER})


def beside(m: Message, at: int) -> int:
    """The index behind all of it: `1.0890$ (30 pips)`."""
    behind: int | None = at
    while behind is not None and m.tokens[behind].kind in _POSSIBLE:
        at = behind
        behind = _one(m, at)
    return at if behind is None else behind


def _one(m: Message, at: int) -> int | None:
    token = m.tokens[at]
    if token.kind == Kind.MONEY or token.text == "$" or (token.text == "+" and m.is_glued(at)):
        token.used = True
        return at + 1
    if token.text in ("(", "["):
        return aside(m, at)
    number = at
    while m.tokens[number].text in _MARKS:
        number += 1
    behind = measure(m, number) if m.tokens[number].kind == Kind.NUMBER else None
    if behind is None or _ends_relative_list(m, at, number):
        return None
    m.note(number, behind)
    return behind


def _ends_relative_list(m: Message, at: int, number: int) -> bool:
    """In `20 - 50 - 100 pips` the first two are pips as well: a distance too near to the level before it."""
    if m.tokens[number + 1].kind != Kind.UNIT or number == at:
        return False
    level, distance = exact(m.tokens[at - 1].text), exact(m.tokens[number].text)
    return level is not None and distance is not None and level < 10 * distance and distance < 10 * level


def aside(m: Message, first: int) -> int | None:
    """The index behind a short remark in brackets, if it holds no label and no number that could be a price."""
    closing = ")" if m.tokens[first].text == "(" else "]"
    is_noted = False
    for at in range(first + 1, min(first + _LONGEST_ASIDE, m.size)):
        token = m.tokens[at]
        if token.text == closing:
            m.note(first, at + 1)
            return at + 1
        is_noted = is_noted or token.kind == Kind.NOTE
        if token.kind in _LABELS or (token.kind == Kind.NUMBER and not is_noted and measure(m, at) is None):
            return None
    return None
