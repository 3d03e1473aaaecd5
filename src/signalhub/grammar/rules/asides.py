"""What changes nothing, or only the quantity: notes, fillers, remarks."""

from typing import Final

from signalhub.grammar import levels
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number, exact
from signalhub.grammar.vocabulary import Kind

QUOTES: Final = frozenset({"CMP", "CURRENT", "MARKET", "LAST"})  # the price now, which no entry is
_LABELS: Final = frozenset({Kind.NEWLINE, Kind.SL, Kind.TP, Kind.ENTRY, Kind.STOP})


def skip(m: Message) -> None:
    m.at += 1


def newline(m: Message) -> None:
    """A blank line ends a list of targets that has begun."""
    if m.listing and m.draft.targets and m.tokens[m.at].text.count("\n") > 1:
        m.listing = False
    m.at += 1


def remark(m: Message) -> None:
    """Remember a word that may tell of an open trade, a negation or a condition."""
    m.remarks.append(m.at)
    m.expecting = False
    m.at += 1


def note(m: Message) -> None:
    """Leave the rest of the line aside, up to the next label, side or entry."""
    first, is_quote = m.at, m.tokens[m.at].text in QUOTES
    m.at += 1
    while not _ends_note(m):
        token = m.tokens[m.at]
        if token.kind == Kind.NUMBER and m.has_header and not (m.has_levels or is_quote):
            m.noted.append(Number(token.text, token.start, token.end, exact(token.text)))
        m.at += 1
    m.note(first, m.at)


def _ends_note(m: Message) -> bool:
    token = m.tokens[m.at]
    if token.kind in _LABELS or (token.kind == Kind.SIDE and not m.draft.sides):
        return True
    if m.has_levels or m.draft.entries or m.tokens[m.at + 1].kind != Kind.NUMBER:
        return False
    return token.text == "@" or (token.kind == Kind.AT and m.has_header)


def quantity(m: Message) -> None:
    number, crossed = levels.seek(m, m.at + 1)
    label = m.tokens[m.at]
    m.at += 1
    if number is not None and not crossed:
        label.used = True
        m.at = number
        take_quantity(m)


def take_quantity(m: Message) -> None:
    token, following = m.tokens[m.at], m.tokens[m.at + 1]
    value = exact(token.text)
    is_torn = m.is_glued(m.at + 1) and (following.text == "%" or following.kind == Kind.WORD)
    if not value or is_torn or levels.is_negative(m, m.at):
        m.draft.fault("bad_quantity", "Write the quantity as a number above 0, like LOT 0.05.", token.start, token.end)
    else:
        m.draft.quantities.append(Number(token.text, token.start, token.end, value))
    token.used = True
    m.at += 1
    if following.kind == Kind.QUANTITY:
        following.used = True
        m.at += 1
