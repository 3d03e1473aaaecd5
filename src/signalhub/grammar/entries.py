"""Reading the entry: one price, or the two ends of a zone."""

from decimal import Decimal

from signalhub.grammar import levels
from signalhub.grammar.beside import beside
from signalhub.grammar.draft import Range
from signalhub.grammar.measures import enumerator, measure
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number, exact
from signalhub.grammar.vocabulary import Kind

_JOINTS = frozenset({"-", "_", "/", "~"})
_NEAR = Decimal("0.05")
_WIDEST = Decimal("1.5")


def read(m: Message, at: int) -> None:
    """The entry whose number is at `at`, which may be the first of two."""
    m.expecting = False
    is_bracketed = m.tokens[at - 1].text == "[" or m.tokens[at - 2].text == "["
    behind = measure(m, at)
    if behind is not None:
        m.at = levels.relative(m, at, behind)
        return
    first, m.at = levels.read(m, at)
    second = _second(m) if first is not None else None
    if first is not None:
        m.draft.entries.append(Range(first, _unabridged(m, first, second)))
    m.at = beside(m, m.at)
    _refuse_more(m, at)
    _close(m, at, is_bracketed=is_bracketed)


def _second(m: Message) -> Number | None:
    at = _over_money(m, m.at)
    if m.tokens[at].text not in _JOINTS and m.tokens[at].kind != Kind.TO:
        return None
    at = _over_money(m, at + 1)
    if m.tokens[at].kind != Kind.NUMBER or measure(m, at) is not None:
        return None
    number = m.tokens[at]
    if exact(number.text) is None and number.text.isdigit():  # `4105-03`: only the end of a price
        m.at = at + 1
        number.used = True
        m.reach = max(m.reach, number.end)
        return Number(number.text, number.start, number.end)
    second, m.at = levels.read(_dash_is_no_sign(m, at), at)
    return second


def _dash_is_no_sign(m: Message, at: int) -> Message:
    """In `1.1200 -1.1180` the dash joins two prices."""
    sign = m.tokens[at - 1]
    if sign.text == "-":
        sign.text = "~"
    return m


def _over_money(m: Message, at: int) -> int:
    while m.tokens[at].text == "$" or m.tokens[at].kind == Kind.MONEY:
        at += 1
    return at


def _unabridged(m: Message, first: Number, second: Number | None) -> Number | None:
    """`4105-03` and `134.30/35` leave out the digits both ends share; any other reading of them is refused."""
    if second is None or first.value is None:
        return second
    value = second.value
    if value is not None and value * _WIDEST > first.value and value < first.value * _WIDEST:
        return second
    tail = second.text
    whole = exact(first.text[: -len(tail)] + tail) if tail.isdigit() and len(tail) > 1 else None
    if whole is not None and abs(whole - first.value) <= first.value * _NEAR and len(tail) < len(first.text):
        return Number(second.text, second.start, second.end, whole)
    if value is None:
        m.draft.fault("ambiguous_number", "Write both ends of the zone in full.", first.start, second.end)
    return second


def _refuse_more(m: Message, at: int) -> None:
    """A second price with nothing between, or a third one, has no meaning we could be sure of."""
    following = m.at
    while m.tokens[following].text in _JOINTS or m.tokens[following].text == ",":
        following += 1
    if m.tokens[following].kind != Kind.NUMBER or levels.lots(m, following):
        return
    if measure(m, following) is not None or enumerator(m, following) is not None:
        return
    start, end = m.tokens[at].start, m.tokens[following].end
    m.draft.fault("bad_entry", "Write one entry price, or a zone with a dash like 1.0850-1.0860.", start, end)
    m.reach = max(m.reach, end)
    m.at = following + 1


def _close(m: Message, at: int, *, is_bracketed: bool) -> None:
    """`[@1.0860]` and, from a published example that people paste, `[@1.0860 - Optional]`."""
    if is_bracketed and m.tokens[m.at].text == "-" and m.tokens[m.at + 1].text == "OPTIONAL":
        m.note(m.at + 1, m.at + 2)
        m.at += 2
    closes = m.tokens[m.at].text == "]"
    if closes != is_bracketed:
        start, end = m.tokens[at].start, m.tokens[m.at].end if closes else m.tokens[m.at - 1].end
        m.draft.fault("bad_entry", "Write the entry as @1.0860 or [@1.0860], with both brackets.", start, end)
    m.at += closes
    if closes and m.tokens[m.at].text == "]":
        m.draft.fault("bad_entry", "Close the bracket once.", m.tokens[m.at].start, m.tokens[m.at].end)
