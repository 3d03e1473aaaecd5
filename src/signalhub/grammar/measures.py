"""Numbers that are no prices: measures, counts of lots, the figures of lists and labels.

Every function takes the index of a token; those that read give the index behind what they read.
"""

import re
from typing import Final

from signalhub.grammar.message import Message
from signalhub.grammar.scan import Token
from signalhub.grammar.vocabulary import Kind

_ORDINALS: Final = frozenset({"ST", "ND", "RD", "TH"})
_SMALL: Final = re.compile(r"[1-9]|1[0-2]", re.ASCII)
_INDEXED: Final = re.compile(r"([1-9]|1[0-2])[.,]([0-9]+\.[0-9]+)", re.ASCII)
_LIST_MARKS: Final = frozenset("/,|&;>")
_JOINTS: Final = frozenset("/,|&;>-")
_DASHES: Final = frozenset("-_")
_LONGEST_COUNT: Final = 2
_LONGEST_CHAIN: Final = 4


def measure(m: Message, at: int) -> int | None:
    """The index behind `20 pips`, `5-10x`, `12.5%`, `15m` or `11 August`: a number that is no price."""
    at += 1
    unit = m.tokens[at]
    if unit.text == "-":
        at = _behind_chain(m, at)
        unit = m.tokens[at]
    kind = unit.kind
    if kind == Kind.MARK:
        return at + 1 if unit.text == "%" else None
    if kind in (Kind.UNIT, Kind.CLOCK):
        return at + 1 if len(unit.text) > 1 or m.is_glued(at) else None
    is_counted = kind == Kind.CALENDAR or (unit.text in _ORDINALS and m.is_glued(at))
    return at + 1 if is_counted else None


def _behind_chain(m: Message, at: int) -> int:
    """Over `-10` and `-50-100`, if they hang on the number before. Bounded: every number of a long chain asks."""
    tokens, last = m.tokens, at + 2 * _LONGEST_CHAIN
    while at < last:
        before, dash, further = tokens[at - 1 : at + 2]
        if dash.text != "-" or further.kind != Kind.NUMBER or before.end != dash.start or dash.end != further.start:
            break
        at += 2
    return at


def enumerator(m: Message, at: int) -> int | None:
    """The index behind `1)`, `2.` or `(3)`, if the number counts the lines of a list."""
    token, mark = m.tokens[at], m.tokens[at + 1]
    if mark.kind != Kind.MARK or mark.start != token.end or len(token.text) > _LONGEST_COUNT:
        return None
    if mark.text == ")" and (m.tokens[at - 1].text == "(" or m.starts_line(at) or m.tokens[at + 2].kind == Kind.NUMBER):
        return at + 2
    if mark.text in (".", ":") and m.tokens[at + 2].start > mark.end and m.starts_line(at):
        return at + 2
    return None


def line_index(m: Message, at: int, expected: int) -> int:
    """Over the number that counts a line of a list, as in `1 - 1.0890`, `#2 1.0910` or `3= 1.0930`."""
    first, at = at, at + (m.tokens[at].text == "#")
    if m.tokens[at].text != str(expected):
        return first
    price = at + 1
    while m.tokens[price].kind == Kind.MARK and m.tokens[price].text not in ",|&":
        price += 1
    if m.tokens[price].kind != Kind.NUMBER or measure(m, at) is not None or measure(m, price) is not None:
        return first
    further = price + 1
    while m.tokens[further].text in _JOINTS:
        further += 1
    is_longer = m.tokens[further].kind == Kind.NUMBER and measure(m, further) is None
    if is_longer or _SMALL.fullmatch(m.tokens[price].text):
        _doubt(m, at, price)
    m.tokens[at].used = True
    return price


def _doubt(m: Message, at: int, price: int) -> None:
    start, end = m.tokens[at].start, m.tokens[price].end
    m.draft.fault("ambiguous_number", "Write TP1: 2 or TP 1, 2 to tell a number from a price.", start, end)


def is_ratio(m: Message, at: int) -> bool:
    """`1:2`, where nothing stands between."""
    return m.tokens[at + 1].text == ":" and m.tokens[at + 2].kind == Kind.NUMBER and m.is_glued(at + 2)


def behind_index(m: Message, at: int, expected: int) -> int:
    """Over the index of `TP1`, `TP 1:` or `TP (1)`. What could be an index or a price is a price if none follows."""
    token, label_end = m.tokens[at], m.tokens[at - 1].end
    is_hashed = token.text == "#"
    if is_hashed or _is_hyphenated(m, at):
        at += 1
        token = m.tokens[at]
    if token.text == "(" and _SMALL.fullmatch(m.tokens[at + 1].text) and m.tokens[at + 2].text == ")":
        m.tokens[at + 1].used = True
        return at + 3
    if token.kind != Kind.NUMBER:
        return at
    is_glued = is_hashed or token.start == label_end
    if is_glued and (indexed := _INDEXED.fullmatch(token.text)):
        m.tokens[at] = Token(Kind.NUMBER, token.start + indexed.start(2), token.end, indexed[2])
        return at
    if _SMALL.fullmatch(token.text) is None or measure(m, at) is not None:
        return at
    if is_glued or m.tokens[at + 1].text == ")" or (int(token.text) == expected and _is_index(m, at)):
        token.used = True
        return at + 1
    return at


def _is_hyphenated(m: Message, at: int) -> bool:
    """The dash of `TP-1: 1.0890`, where nothing but an index can stand before the colon."""
    if m.tokens[at].text not in _DASHES or not (m.is_glued(at) and m.is_glued(at + 1)):
        return False
    return m.tokens[at + 2].text in (":", "=") and _SMALL.fullmatch(m.tokens[at + 1].text) is not None


def _is_index(m: Message, at: int) -> bool:
    """Whether the small number behind a label counts it: the next target is due, and a price follows."""
    following = m.tokens[at + 1]
    if is_ratio(m, at) or following.text in _LIST_MARKS:
        return False
    price = at + 1
    while m.tokens[price].kind in (Kind.MARK, Kind.AT, Kind.FILLER, Kind.MONEY):
        price += 1
    if m.tokens[price].kind != Kind.NUMBER:
        return following.text == ":" or following.kind == Kind.OPEN
    if _SMALL.fullmatch(m.tokens[price].text):
        _doubt(m, at, price)
    return True
