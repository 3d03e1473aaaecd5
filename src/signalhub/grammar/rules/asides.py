"""What changes nothing, or only the quantity: notes, fillers, remarks."""

from typing import Final

from signalhub.grammar import levels
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number, exact
from signalhub.grammar.vocabulary import Kind

_LABELS: Final = frozenset({Kind.NEWLINE, Kind.SL, Kind.TP, Kind.ENTRY, Kind.STOP})
_LABELS_AND_SIDE: Final = _LABELS | {Kind.SIDE}


def skip(m: Message) -> None:
    m.at += 1


def remark(m: Message) -> None:
    """Remember a word that may tell of an open trade, a negation or a condition."""
    m.remarks.append(m.at)
    m.expecting = False
    m.at += 1


def note(m: Message) -> None:
    _rest_of_line(m, m.at)


def _rest_of_line(m: Message, first: int) -> None:
    """Leave the rest of the line aside, up to the next label."""
    labels = _LABELS if m.draft.sides else _LABELS_AND_SIDE
    at = max(first, m.at)
    while m.tokens[at].kind not in labels:
        at += 1
    m.note(first, at)
    m.at = at


def quantity(m: Message) -> None:
    number, crossed = levels.seek(m, m.at + 1)
    m.at += 1
    if number is not None and not crossed:
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
    _rest_of_line(m, m.at)
