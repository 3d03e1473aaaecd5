"""Signals written by people: the native text grammar.

`#id abc123` and `#sim reject=insufficient_margin`: words to the hub, for senders that cannot set headers.

Cornix blocks, as crypto channels send them: the native grammar, but several numbered entries are one ladder.
"""

import re
from typing import Final

from signalhub.grammar import finalize, intent, prices
from signalhub.grammar.body import Body
from signalhub.grammar.formats.base import Format
from signalhub.grammar.non_prices import match_enumerator
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import EntryRange, ParsedFields, Spanned
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules import RULES, Rules
from signalhub.grammar.rules.labels import read_entry_label
from signalhub.grammar.rules.marks import MARK_RULES
from signalhub.grammar.vocabulary import TokenKind


def parse_with_rules(body: Body, rules: Rules) -> ParsedFields:
    """Read the text with a table of rules, which a dialect may have changed."""
    draft = ParsedFields(body.source)
    extract_directives(draft)
    message = ParserState(draft)
    if message.is_fragmented:
        draft.reject("unsupported", "Write the signal in words and prices: nearly every piece of this is a character.")
        return draft
    tokens, size = message.tokens, message.token_count
    while message.pos < size and not draft.has_too_many_errors:
        token = tokens[message.pos]
        if token.kind == TokenKind.MARK and token.text not in MARK_RULES:
            message.pos += 1  # a third of all tokens; a rule for them would only do this
        else:
            rules[token.kind](message)
    finalize.finalize(message)
    if draft.is_order:
        intent.reject_non_orders(message)
    return draft


def _parse_text(body: Body) -> ParsedFields:
    return parse_with_rules(body, RULES)


TEXT = Format("text", lambda _: True, _parse_text)


_DIRECTIVE: Final = re.compile(
    r"(?<![^ \t\r\n])#(id|sim)(?![A-Za-z0-9/#_-])[ \t:=]*([^\r\n]*)", re.ASCII | re.IGNORECASE
)
_FIRST_WORD: Final = re.compile(r"[^ \t]*")


def extract_directives(fields: ParsedFields) -> None:
    """Move the directives out of the text, so that nothing in them is read as part of a signal."""
    text = fields.source
    if "#" not in text.clean:
        return
    for match in list(_DIRECTIVE.finditer(text.clean)):
        is_id = match[1].lower() == "id"
        value = _FIRST_WORD.match(match[2])[0] if is_id else match[2].rstrip()  # type: ignore[index]  # matches the empty text
        start, end = match.start(2), match.start(2) + len(value)
        if value:
            found = Spanned(text.raw[start:end], start, end)
            (fields.client_ids if is_id else fields.simulations).append(found)
        elif not is_id:
            fields.add_problem("bad_simulation", "Say what to simulate, like #sim outcome=take_profit.", *match.span())
        text.clean = text.clean[: match.start()] + " " * (end - match.start()) + text.clean[end:]


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
        prices.read_entry(state, rung)
    rungs = state.fields.entries[before:]
    state.fields.entries[before:] = [_to_price_range(rungs)]


def _find_next_ladder_entry(state: ParserState) -> int | None:
    if state.tokens[state.pos].kind != TokenKind.NEWLINE or state.tokens[state.pos + 1].kind != TokenKind.NUMBER:
        return None
    behind = match_enumerator(state, state.pos + 1)
    number, crossed = (None, False) if behind is None else prices.find_labelled_price(state, behind)
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
