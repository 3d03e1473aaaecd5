"""Reading prices at a place: the number behind a label, what kind of number it is, and lists of them.

Every function takes the index of a token and gives the index behind what it read.
"""

import re
from typing import Final

from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number, exact, readings, thousands
from signalhub.grammar.scan import Token
from signalhub.grammar.vocabulary import Kind

_LEAD: Final = frozenset(":=@.,;~>-|($#[{+_")
_LEADING_WORDS: Final = frozenset({Kind.AT, Kind.FILLER, Kind.MONEY})
_SHAPED: Final = frozenset({Kind.NUMBER, Kind.MARK, Kind.NEWLINE})
_MAY_FOLLOW: Final = frozenset(",;/|)]}-_.!$+&(:*#~>%")
_BETWEEN: Final = frozenset("/,-|&;>")
_ORDINALS: Final = frozenset({"ST", "ND", "RD", "TH"})
_SMALL: Final = re.compile(r"[1-9]|1[0-2]", re.ASCII)
_INDEXED: Final = re.compile(r"([1-9]|1[0-2])[.,]([0-9]+\.[0-9]+)", re.ASCII)
_ASIDE: Final = 16


def seek(m: Message, at: int) -> tuple[int | None, bool]:
    """The number a label announces, over marks and small words, at most on the next line; and whether it is there."""
    crossed = False
    while True:
        token = m.tokens[at]
        kind = token.kind
        if kind is Kind.NUMBER:
            behind = enumerator(m, at)
            if behind is None:
                return at, crossed
            at = behind
            continue
        if kind is Kind.NEWLINE and not crossed and token.text:
            crossed = True
        elif not (_leads(m, at, token) or kind in _LEADING_WORDS):
            return None, crossed
        at += 1


def _leads(m: Message, at: int, token: Token) -> bool:
    """A mark that may stand before a price, or the short label in `Stop Loss (SL):`."""
    if token.kind is Kind.MARK:
        return token.text in _LEAD or (token.text == ")" and m.tokens[at - 1].kind is not Kind.NUMBER)
    return token.kind in (Kind.SL, Kind.TP) and m.tokens[at - 1].text == "("


def enumerator(m: Message, at: int) -> int | None:
    """The index behind `1)`, `2.` or `(3)`, if the number counts the lines of a list."""
    token, mark, behind = m.tokens[at], m.tokens[at + 1], m.tokens[at + 2]
    if len(token.text) > 2 or mark.kind is not Kind.MARK or mark.start != token.end:  # noqa: PLR2004
        return None
    if mark.text == ")" and (m.tokens[at - 1].text == "(" or m.starts_line(at)):
        return at + 2
    if mark.text in ".:" and behind.start > mark.end and m.starts_line(at):
        return at + 2
    return None


def measure(m: Message, at: int) -> int | None:
    """The index behind `20 pips`, `5-10x`, `12.5%`, `15m` or `11 August`: a number that is no price."""
    at += 1
    while m.tokens[at].text == "-" and m.is_glued(at) and m.tokens[at + 1].kind is Kind.NUMBER and m.is_glued(at + 1):
        at += 2
    unit = m.tokens[at]
    if unit.kind is Kind.UNIT or unit.kind is Kind.CLOCK:
        return at + 1 if len(unit.text) > 1 or m.is_glued(at) else None
    if unit.text == "%" or unit.kind is Kind.CALENDAR or (unit.text in _ORDINALS and m.is_glued(at)):
        return at + 1
    return None


def lots(m: Message, at: int) -> bool:
    """Whether the number at `at` is one of lots: `0.05 lots`, but not `1.0890 LOT 0.05`."""
    if m.tokens[at + 1].kind is not Kind.QUANTITY:
        return False
    number, crossed = seek(m, at + 2)
    return number is None or crossed


def is_negative(m: Message, at: int) -> bool:
    """A minus before the price, as against the dash of `SL-3460`, `SL - 3460` and `SL:-3460`."""
    sign, before = m.tokens[at - 1], m.tokens[at - 2]
    if sign.text != "-" or sign.end != m.tokens[at].start:
        return False
    return before.end != sign.start or (before.kind is Kind.MARK and before.text not in ":.-")


def read(m: Message, at: int) -> tuple[Number | None, int]:
    """The price at `at`, or None and a fault if it is none."""
    token, following = m.tokens[at], m.tokens[at + 1]
    behind, value = at + 1, exact(token.text)
    is_sound = not is_negative(m, at)
    if following.start == token.end:
        if following.text == "K":
            behind, value = at + 2, thousands(token.text)
        elif following.kind is Kind.MARK:
            is_sound = is_sound and following.text in _MAY_FOLLOW and not _is_ratio(m, at)
        elif following.kind not in (Kind.NEWLINE, Kind.MONEY):
            is_sound = False
    number = Number(token.text, token.start, m.tokens[behind - 1].end, value)
    if not is_sound or value == 0 or (value is None and next(readings(number), None) is None):
        return _bad(m, at), behind
    m.level(number)
    m.use(at, behind)
    return number, behind


def _is_ratio(m: Message, at: int) -> bool:
    return m.tokens[at + 1].text == ":" and m.tokens[at + 2].kind is Kind.NUMBER and m.is_glued(at + 2)


def _bad(m: Message, at: int) -> None:
    start, end = m.tokens[at].start, m.run_from(m.tokens[at].start)
    if is_negative(m, at):
        start -= 1
    m.level(Number("", start, end))
    if _is_ratio(m, at):
        m.draft.fault("relative_price", "Write the price itself instead of a ratio, like TP 1.0890.", start, end)
        return
    m.draft.fault(
        "bad_price", "Write a price as digits with a point, like 1.0850: no sign, letters or exponent.", start, end
    )


def relative(m: Message, at: int, behind: int) -> int:
    """Refuse a level in pips, percent or R."""
    start, end = m.tokens[at].start, m.tokens[behind - 1].end
    m.level(Number("", start, end))
    m.draft.fault("relative_price", "Write the price itself, like 1.0850: pips and percent need a quote.", start, end)
    return behind


def prices(m: Message, at: int) -> tuple[list[Number], int]:
    """A list of prices on one line, such as `95 / 90`, with what stands beside each of them."""
    found: list[Number] = []
    while True:
        unit = measure(m, at)
        if unit is not None:
            return found, relative(m, at, unit)
        number, at = read(m, at)
        if number is not None:
            found.append(number)
        at = beside(m, at)
        following = _next_in_list(m, at)
        if following is None:
            return found, at
        at = following


def beside(m: Message, at: int) -> int:
    """Over a currency, an aside in brackets, a measure: `1.0890$ (30 pips)`."""
    while True:
        token = m.tokens[at]
        if token.kind is Kind.MONEY or token.text in ("$", "+"):
            m.use(at, at + 1)
            at += 1
            continue
        behind = _beside(m, at)
        if behind is None:
            return at
        at = behind


def _beside(m: Message, at: int) -> int | None:
    token = m.tokens[at]
    if token.text in ("(", "["):
        return aside(m, at)
    first = at
    while m.tokens[first].text in ("-", "|", "/", "+", ","):
        first += 1
    if m.tokens[first].kind is not Kind.NUMBER:
        return None
    behind = measure(m, first)
    if behind is None or _is_last_of_relative_list(m, at, first):
        return None
    m.note(first, behind)
    return behind


def _is_last_of_relative_list(m: Message, at: int, number: int) -> bool:
    """In `20 - 50 - 100 pips` the first two are pips as well: a unit too near to the level before it."""
    level, distance = exact(m.tokens[at - 1].text), exact(m.tokens[number].text)
    if level is None or distance is None or m.tokens[number + 1].kind is not Kind.UNIT or number == at:
        return False
    return level < 10 * distance and distance < 10 * level


def aside(m: Message, at: int) -> int | None:
    """The index behind a short remark in brackets, if it holds no label and no number that could be a price."""
    closing = ")" if m.tokens[at].text == "(" else "]"
    first, noted = at, False
    for at in range(first + 1, min(first + _ASIDE, m.size)):
        token = m.tokens[at]
        if token.text == closing:
            m.note(first, at + 1)
            return at + 1
        noted = noted or token.kind is Kind.NOTE
        if token.kind in (Kind.NEWLINE, Kind.SL, Kind.TP, Kind.ENTRY, Kind.SIDE):
            return None
        if token.kind is Kind.NUMBER and not noted and measure(m, at) is None:
            return None
    return None


def _next_in_list(m: Message, at: int) -> int | None:
    """The next price of the list, if one follows on the line."""
    while (m.tokens[at].kind is Kind.MARK and m.tokens[at].text in _BETWEEN) or m.tokens[at].kind is Kind.TO:
        at += 1
    while m.tokens[at].text in ("$", "(", "+"):
        at += 1
    if m.tokens[at].kind is not Kind.NUMBER or lots(m, at) or enumerator(m, at) is not None:
        return None
    return at


def behind_index(m: Message, at: int, expected: int) -> int:
    """Over the index of `TP1`, `TP 1:` or `TP (1)`. A price that could be an index is a price if nothing follows it."""
    label_end = m.tokens[at - 1].end
    hashed = m.tokens[at].text == "#"
    at += hashed
    token = m.tokens[at]
    if token.text == "(" and _SMALL.fullmatch(m.tokens[at + 1].text) and m.tokens[at + 2].text == ")":
        return at + 3
    if token.kind is not Kind.NUMBER:
        return at
    is_glued = hashed or token.start == label_end
    if is_glued and (indexed := _INDEXED.fullmatch(token.text)):
        m.tokens[at] = Token(Kind.NUMBER, token.start + indexed.start(2), token.end, indexed[2])
        return at
    if _SMALL.fullmatch(token.text) is None or measure(m, at) is not None:
        return at
    return _behind_small(m, at, is_glued=is_glued, expected=expected)


def _behind_small(m: Message, at: int, *, is_glued: bool, expected: int) -> int:
    if is_glued or m.tokens[at + 1].text == ")":
        return at + 1
    if _is_ratio(m, at) or m.tokens[at + 1].text in _BETWEEN - {"-"} or int(m.tokens[at].text) != expected:
        return at
    number, crossed = seek(m, at + 1)
    if number is None or crossed:
        return at + 1 if m.tokens[at + 1].text == ":" or m.tokens[at + 1].kind is Kind.OPEN else at
    if _SMALL.fullmatch(m.tokens[number].text):
        start, end = m.tokens[at].start, m.tokens[number].end
        m.draft.fault("ambiguous_number", "Write TP1: 2 or TP 1, 2 to tell a number from a price.", start, end)
    return at + 1
