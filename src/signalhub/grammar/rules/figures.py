"""Numbers no label announced: explained by a unit or by their place, or strays."""

import re
from typing import Final

from signalhub.grammar import entries, levels, symbols
from signalhub.grammar.measures import enumerator, line_index, measure
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number, exact
from signalhub.grammar.rules.asides import take_quantity
from signalhub.grammar.rules.header import take_name, word
from signalhub.grammar.vocabulary import Kind

_LONGEST_COUNT: Final = 2
_MOST_LEVERAGE: Final = 500
_DATE: Final = re.compile(
    r"(?:19|20)[0-9]{2}\.[0-9]{1,2}\.[0-9]{1,2}|[0-9]{1,2}\.[0-9]{1,2}\.(?:19|20)?[0-9]{2}", re.ASCII
)
_WRITTEN_DATE: Final = re.compile(
    r"[0-3]?[0-9]([/-])[0-3]?[0-9]\1(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}([/-])[01]?[0-9]\2[0-3]?[0-9]", re.ASCII
)
_DATE_JOINTS: Final = frozenset("/-")
_SIXTIETHS: Final = re.compile(r"[0-5][0-9]", re.ASCII)
_NAMED: Final = frozenset({Kind.WORD, Kind.CLOCK, Kind.UNIT})


def number(m: Message) -> None:
    if symbols.may_begin_with(m, m.at) and (name := symbols.known(m, m.at)):
        take_name(m, *name)
        return
    behind = _explained(m)
    if behind is not None:
        if m.tokens[m.at + 1].text == "X" and (value := exact(m.tokens[m.at].text)) and value > _MOST_LEVERAGE:
            m.noted.append(Number(m.tokens[m.at].text, m.tokens[m.at].start, m.tokens[m.at].end, value))
        m.note(m.at, behind)
        m.at = behind
    elif levels.lots(m, m.at):
        take_quantity(m)
    elif m.tokens[m.at + 1].kind == Kind.OPTION:
        _refuse_option(m)
    elif m.listing:
        _next_target(m)
    elif m.expecting:
        entries.read(m, m.at)
    else:
        token = m.tokens[m.at]
        m.strays.append(Number(token.text, token.start, token.end, exact(token.text)))
        m.at += 1


def _next_target(m: Message) -> None:
    """One more line of a list whose label stands above it."""
    at, _ = levels.seek(m, line_index(m, m.at, len(m.draft.targets) + 1))
    numbers, m.at = levels.prices(m, m.at if at is None else at)
    m.draft.targets.extend(numbers)


def _refuse_option(m: Message) -> None:
    start, end = m.tokens[m.at].start, m.tokens[m.at + 1].end
    m.draft.dismiss("unsupported", "Options are not traded here: a strike looks like an entry.", start, end)
    m.at += 2


def _explained(m: Message) -> int | None:
    """The index behind a number whose meaning is plain and which is no price."""
    return measure(m, m.at) or enumerator(m, m.at) or _clock(m) or _part_of_word(m)


def _clock(m: Message) -> int | None:
    """`02:25`, and a date such as `2020.02.24` where no price is due."""
    text = m.tokens[m.at].text
    if "." in text:
        return m.at + 1 if not m.expecting and _DATE.fullmatch(text) else None
    if (behind := _date(m)) is not None:
        return behind
    at = m.at
    while m.tokens[at + 1].text == ":" and m.is_glued(at + 2) and _SIXTIETHS.fullmatch(m.tokens[at + 2].text):
        at += 2
    return at + 1 if at > m.at and len(text) <= _LONGEST_COUNT else None


def _date(m: Message) -> int | None:
    """`13/05/2025` and `2025-05-13`, in one piece."""
    if m.tokens[m.at + 1].text not in _DATE_JOINTS or m.expecting:
        return None
    pieces = m.tokens[m.at : m.at + 5]
    written = "".join([piece.text for piece in pieces])
    is_whole = pieces[4].end - pieces[0].start == len(written)
    return m.at + 5 if is_whole and _WRITTEN_DATE.fullmatch(written) else None


def timeframe(m: Message) -> None:
    """The chart the signal was seen on, `H1` or `M15`: the entry may still follow."""
    figure = m.tokens[m.at + 1]
    is_figure = figure.kind == Kind.NUMBER and m.is_glued(m.at + 1) and len(figure.text) <= _LONGEST_COUNT
    if is_figure and len(m.tokens[m.at].text) == 1 and m.asset_at != m.at and not _goes_on(m, m.at + 2):
        m.note(m.at, m.at + 2)
        m.at += 2
    else:
        word(m)


def _goes_on(m: Message, at: int) -> bool:
    return m.is_glued(at) and m.tokens[at].kind != Kind.NEWLINE


def _part_of_word(m: Message) -> int | None:
    """The figure in `H1`, `#12` or `Signal 6`, and a word that begins with one."""
    token, before, following = m.tokens[m.at], m.tokens[m.at - 1], m.tokens[m.at + 1]
    if not token.text.isdigit():
        return None
    if m.is_glued(m.at) and (before.text == "#" or before.kind in _NAMED):
        return m.at + 1
    if before.kind == Kind.FILLER and len(token.text) <= _LONGEST_COUNT and not m.draft.sides:
        return m.at + 1
    is_word = following.kind == Kind.WORD and following.text != "K" and m.is_glued(m.at + 1)
    return m.at + 2 if is_word and not m.expecting else None


def unit(m: Message) -> None:
    """`x20` is leverage, `X2Y2` a name, and a unit without a number a word."""
    at = m.at + 1
    is_leverage = m.tokens[m.at].text == "X" and m.tokens[at].kind == Kind.NUMBER and m.is_glued(at)
    if is_leverage and not (m.is_glued(at + 1) and m.tokens[at + 1].text.isalnum()):
        m.note(m.at, at + 1)
        m.at = at + 1
    else:
        word(m)
