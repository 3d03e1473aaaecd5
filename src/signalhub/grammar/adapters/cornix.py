"""Cornix blocks, as crypto channels send them: the native grammar, but several numbered entries are one ladder."""

import re
from typing import Final

from signalhub.grammar import entries, levels
from signalhub.grammar.adapter import Format
from signalhub.grammar.adapters.text import parse_with_rules
from signalhub.grammar.body import Body
from signalhub.grammar.draft import EntryRange, ParsedFields
from signalhub.grammar.measures import match_enumerator
from signalhub.grammar.message import ParserState
from signalhub.grammar.numbers import Number
from signalhub.grammar.rules import RULES
from signalhub.grammar.rules.labels import read_entry_label
from signalhub.grammar.vocabulary import TokenKind

_CORNIX_HEADING: Final = re.compile(
    r"take[- \t]{1,3}profit[ \t]{1,3}(?:targets|orders)[ \t]*[:=]", re.ASCII | re.IGNORECASE
)


def _read_entry_ladder(state: ParserState) -> None:
    """Read the first entry as ever, then the numbered ones below it. A ladder is reported by its two ends."""
    before = len(state.fields.entries)
    read_entry_label(state)
    if len(state.fields.entries) != before + 1:
        return
    while (rung := _find_next_ladder_entry(state)) is not None:
        entries.read_entry(state, rung)
    rungs = state.fields.entries[before:]
    state.fields.entries[before:] = [_to_price_range(rungs)]


def _find_next_ladder_entry(state: ParserState) -> int | None:
    if state.tokens[state.pos].kind != TokenKind.NEWLINE or state.tokens[state.pos + 1].kind != TokenKind.NUMBER:
        return None
    behind = match_enumerator(state, state.pos + 1)
    number, crossed = (None, False) if behind is None else levels.find_labelled_price(state, behind)
    return None if crossed else number


def _to_price_range(ladder_entries: list[EntryRange]) -> EntryRange:
    ends: list[Number] = [end for rung in ladder_entries for end in (rung.first, rung.second) if end is not None]
    if len(ends) == 1 or any(end.value is None for end in ends):
        return ladder_entries[0]
    ends.sort(key=lambda end: end.value or 0)
    return EntryRange(ends[0], ends[-1])


def _is_cornix(body: Body) -> bool:
    clean = body.source.clean
    return ("argets" in clean or "rders" in clean or clean.isupper()) and _CORNIX_HEADING.search(clean) is not None


def _parse_cornix(body: Body) -> ParsedFields:
    return parse_with_rules(body, {**RULES, TokenKind.ENTRY: _read_entry_ladder})


CORNIX = Format("cornix", _is_cornix, _parse_cornix)
