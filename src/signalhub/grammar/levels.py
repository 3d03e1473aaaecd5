"""Reading prices at a place: the number behind a label, and lists of numbers.

Every function takes the index of a token; those that read give the index behind what they read.
"""

import re
from decimal import Decimal
from typing import Final

from signalhub.grammar.beside import beside
from signalhub.grammar.measures import enumerator, is_ratio, measure
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number, exact, readings, thousands
from signalhub.grammar.scan import Token
from signalhub.grammar.vocabulary import Kind

_LEAD: Final = frozenset(":=@.,;~<>-|($#[{+_")
_LEADING_WORDS: Final = frozenset({Kind.AT, Kind.FILLER, Kind.MONEY})
_MAY_FOLLOW: Final = frozenset(",;/|)]}-_.!$+&(:*#~>%")
_MAY_BE_GLUED: Final = frozenset({Kind.NEWLINE, Kind.MONEY})
_WORDLIKE: Final = frozenset({Kind.WORD, Kind.NUMBER, Kind.UNIT, Kind.CLOCK})
_BETWEEN: Final = frozenset("/,-|&;>")
_FARTHEST: Final = 24  # tokens: labels in a row must not all look through the same text
_YEAR: Final = re.compile(r"(?:19|20)[0-9]{2}", re.ASCII)
_NEXT_DOOR: Final = Decimal("0.05")  # of a price: so far at most lies the next target that looks like a year


def seek(m: Message, at: int) -> tuple[int | None, bool]:
    """The number a label announces, over marks and small words; and whether it stands on the next line."""
    crossed = False
    farthest = at + _FARTHEST
    while at < farthest:
        token = m.tokens[at]
        kind = token.kind
        if kind == Kind.NUMBER:
            behind = enumerator(m, at)
            if behind is None:
                return at, crossed
            token.used = True
            at = behind
            continue
        if kind == Kind.NEWLINE and not crossed and token.text:
            crossed = True
        elif not (_leads(m, at, token) if kind == Kind.MARK else _may_lead(m, at, kind)):
            return None, crossed
        at += 1
    return None, crossed


def _leads(m: Message, at: int, token: Token) -> bool:
    return token.text in _LEAD or (token.text == ")" and m.tokens[at - 1].kind != Kind.NUMBER)


def _may_lead(m: Message, at: int, kind: str) -> bool:
    """A small word, or the short label in `Stop Loss (SL):`."""
    return kind in _LEADING_WORDS or (kind in (Kind.SL, Kind.TP) and m.tokens[at - 1].text == "(")


def lots(m: Message, at: int) -> bool:
    """Whether the number at `at` is one of lots: `0.05 lots`, but not `1.0890 LOT 0.05`."""
    if m.tokens[at + 1].kind != Kind.QUANTITY:
        return False
    following = m.tokens[at + 2]
    number = m.tokens[at + 3] if following.text in (":", "=", "-") else following
    return number.kind != Kind.NUMBER


def is_negative(m: Message, at: int) -> bool:
    """A minus before the price, as against the dash of `SL-3460`, `SL - 3460` and `SL:-3460`."""
    sign = m.tokens[at - 1]
    if sign.text != "-" or sign.end != m.tokens[at].start:
        return False
    before = m.tokens[at - 2]
    return before.end != sign.start or (before.kind == Kind.MARK and (before.text not in ":.-" or _signs(m, at - 2)))


def _signs(m: Message, at: int) -> bool:
    """Whether two dashes stand as signs before a price, apart from the label: `SL --1.0850`."""
    return m.tokens[at].text == "-" and not m.is_glued(at)


def read(m: Message, at: int) -> tuple[Number | None, int]:
    """The price at `at`, or None and a fault if it is none."""
    token, following = m.tokens[at], m.tokens[at + 1]
    end, behind, value = token.end, at + 1, exact(token.text)
    is_sound = not is_negative(m, at)
    if following.start == end:
        if following.text == "K":
            end, behind, value = following.end, at + 2, thousands(token.text)
            is_sound = is_sound and value is not None
            following.used = True
        elif following.kind == Kind.MARK:
            is_sound = is_sound and following.text in _MAY_FOLLOW and not is_ratio(m, at) and not _is_torn(m, at)
        else:
            is_sound = is_sound and following.kind in _MAY_BE_GLUED
    possible = readings(token.text) if value is None else ()
    if len(possible) == 1 and possible[0].is_plain:  # `2,340.80`: odd, and yet of one reading
        value = possible[0].values[0]
    if not is_sound or value == 0 or (value is None and not possible):
        _refuse(m, at)
        return None, behind
    token.used = True
    m.reach = max(m.reach, end)
    return Number(token.text, token.start, end, value, possible), behind


def _is_torn(m: Message, at: int) -> bool:
    """`1.pips0850`, `110..800`: a point with something behind it that is no label ends no sentence."""
    if m.tokens[at + 1].text != ".":
        return False
    at += 3 if m.tokens[at + 2].text == "." and m.is_glued(at + 2) else 2
    return m.is_glued(at) and m.tokens[at].kind in _WORDLIKE


def _refuse(m: Message, at: int) -> None:
    start, end = m.tokens[at].start, m.run_from(m.tokens[at].start)
    start -= is_negative(m, at)
    m.reach = max(m.reach, end)
    if is_ratio(m, at):
        m.draft.fault("relative_price", "Write the price itself instead of a ratio, like TP 1.0890.", start, end)
    else:
        hint = "Write a price as digits with a point, like 1.0850: no sign, letters or exponent."
        m.draft.fault("bad_price", hint, start, end)


def relative(m: Message, at: int, behind: int) -> int:
    """Refuse a level in pips, percent or R."""
    start, end = m.tokens[at].start, m.tokens[behind - 1].end
    m.reach = max(m.reach, end)
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
        following = None if m.tokens[at].kind == Kind.NEWLINE else _next_in_list(m, at)
        if following is None or (number is not None and following == at and _is_year(m, at, number)):
            return found, at
        at = following


def _next_in_list(m: Message, at: int) -> int | None:
    """The next price of the list, if one follows on the line."""
    while m.tokens[at].text in _BETWEEN or m.tokens[at].kind == Kind.TO:
        at += 1
    while m.tokens[at].text in ("$", "+"):
        at += 1
    if m.tokens[at].kind == Kind.NUMBER and (behind := enumerator(m, at)):  # `1) 1.20 2) 1.50`
        m.use(at, at + 1)
        at = behind
    if m.tokens[at].kind != Kind.NUMBER or lots(m, at):
        return None
    return at


def _is_year(m: Message, at: int, before: Number) -> bool:
    """`2340 2024 edition`: whether the number may be a year rather than the next price of the list."""
    if _YEAR.fullmatch(m.tokens[at].text) is None or m.tokens[at + 1].kind != Kind.WORD or before.value is None:
        return False
    return abs(int(m.tokens[at].text) - before.value) > _NEXT_DOOR * before.value
