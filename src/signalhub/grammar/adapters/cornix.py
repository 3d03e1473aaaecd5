"""Cornix blocks, as crypto channels send them: the native grammar, but several numbered entries are one ladder."""

import re
from typing import Final

from signalhub.grammar import entries, levels
from signalhub.grammar.adapter import Adapter
from signalhub.grammar.adapters.text import read_by
from signalhub.grammar.body import Body
from signalhub.grammar.draft import Draft, Range
from signalhub.grammar.measures import enumerator
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number
from signalhub.grammar.rules import RULES
from signalhub.grammar.rules.labels import entry
from signalhub.grammar.vocabulary import Kind

_HEADING: Final = re.compile(r"take[- \t]{1,3}profit[ \t]{1,3}(?:targets|orders)[ \t]*[:=]", re.ASCII | re.IGNORECASE)


def _ladder(m: Message) -> None:
    """Read the first entry as ever, then the numbered ones below it. A ladder is reported by its two ends."""
    before = len(m.draft.entries)
    entry(m)
    if len(m.draft.entries) != before + 1:
        return
    while (rung := _next_rung(m)) is not None:
        entries.read(m, rung)
    rungs = m.draft.entries[before:]
    m.draft.entries[before:] = [_ends(rungs)]


def _next_rung(m: Message) -> int | None:
    if m.tokens[m.at].kind != Kind.NEWLINE or m.tokens[m.at + 1].kind != Kind.NUMBER:
        return None
    behind = enumerator(m, m.at + 1)
    number, crossed = (None, False) if behind is None else levels.seek(m, behind)
    return None if crossed else number


def _ends(rungs: list[Range]) -> Range:
    ends: list[Number] = [end for rung in rungs for end in (rung.first, rung.second) if end is not None]
    if len(ends) == 1 or any(end.value is None for end in ends):
        return rungs[0]
    ends.sort(key=lambda end: end.value or 0)
    return Range(ends[0], ends[-1])


def _claims(body: Body) -> bool:
    clean = body.text.clean
    return ("argets" in clean or "rders" in clean or clean.isupper()) and _HEADING.search(clean) is not None


def _read(body: Body) -> Draft:
    return read_by(body, {**RULES, Kind.ENTRY: _ladder})


ADAPTER = Adapter("cornix", _claims, _read)
