"""Signals written by people: the native text grammar, and Cornix blocks as a dialect of it.

Directives give ingest what other senders put in headers: `#id abc123` and `#sim reject=insufficient_margin`.
A Cornix block is what crypto channels send; its numbered entries are one ladder.
"""

import re
from typing import Final

from signalhub.grammar.body import Body, Format
from signalhub.grammar.non_orders import reject_non_orders
from signalhub.grammar.non_prices import match_enumerator
from signalhub.grammar.parsed_fields import EntryRange, ParsedFields, Spanned
from signalhub.grammar.parser_state import ParserState, TokenizedText
from signalhub.grammar.rules import RULES, Rules
from signalhub.grammar.rules.labels import read_entry, read_entry_label
from signalhub.grammar.rules.marks import MARK_RULES
from signalhub.grammar.rules.notes import find_labelled_number
from signalhub.grammar.vocabulary import TokenKind
from signalhub.grammar.whole_text import finalize

_DIRECTIVE: Final = re.compile(
    r"(?<![^ \t\r\n])#(id|sim)(?![A-Za-z0-9/#_-])[ \t:=]*([^\r\n]*)", re.ASCII | re.IGNORECASE
)
_CORNIX_HEADING: Final = re.compile(
    r"take[- \t]{1,3}profit[ \t]{1,3}(?:targets|orders)[ \t]*[:=]", re.ASCII | re.IGNORECASE
)


def parse_with_rules(body: Body, rules: Rules) -> ParsedFields:
    """Lex, match and resolve a text with a table of rules, of which a dialect replaces some."""
    fields = ParsedFields(body.source)
    extract_directives(fields)
    # 1. Lex.
    text = TokenizedText.from_source(body.source)
    if text.is_fragmented:
        fields.reject("unsupported", "Write the signal in words and prices: nearly every piece of this is a character.")
        return fields
    # 2. Match: a rule reads what begins at a token, and returns the index after it.
    state = ParserState(text, fields)
    tokens, token_count, mark_kind, index = text.tokens, text.token_count, TokenKind.MARK, 0
    while index < token_count and not fields.has_too_many_errors:
        token = tokens[index]
        # A third of all tokens are marks without a rule: skipping them here saves a call for each.
        if token.kind == mark_kind and token.text not in MARK_RULES:
            index += 1
        else:
            index = rules[token.kind](state, index)
    # 3. Resolve what depends on the whole text.
    finalize(state)
    if fields.is_order:
        reject_non_orders(state)
    return fields


def extract_directives(fields: ParsedFields) -> None:
    """Move the directives out of the text, so that no rule reads them as part of the signal."""
    source = fields.source
    if "#" not in source.clean:
        return
    # Blanks replace what is removed, so the positions of later matches stay valid.
    for match in list(_DIRECTIVE.finditer(source.clean)):
        is_id = match[1].lower() == "id"
        # An id is one word: the rest of its line may belong to the signal.
        value = re.split("[ \t]", match[2], maxsplit=1)[0] if is_id else match[2].rstrip()
        start, end = match.start(2), match.start(2) + len(value)
        if value:
            directive = Spanned(source.raw[start:end], start, end)
            (fields.client_ids if is_id else fields.simulations).append(directive)
        elif not is_id:
            fields.add_problem("bad_simulation", "Say what to simulate, like #sim outcome=take_profit.", *match.span())
        source.clean = source.clean[: match.start()] + " " * (end - match.start()) + source.clean[end:]


def read_entry_ladder(state: ParserState, index: int) -> int:
    """Read the labelled entry and the numbered ones below it as one zone between the lowest and the highest."""
    before = len(state.fields.entries)
    index = read_entry_label(state, index)
    if len(state.fields.entries) != before + 1:
        return index
    while (number_index := _find_next_ladder_entry(state, index)) is not None:
        index = read_entry(state, number_index)
    ladder = state.fields.entries[before:]
    ends = [end for entry in ladder for end in (entry.first, entry.second) if end is not None]
    if len(ends) == 1 or any(end.value is None for end in ends):
        # A number with several readings cannot be ordered: the first entry alone stands.
        state.fields.entries[before:] = ladder[:1]
        return index
    ends.sort(key=lambda end: end.value or 0)
    state.fields.entries[before:] = [EntryRange(ends[0], ends[-1])]
    return index


def _find_next_ladder_entry(state: ParserState, index: int) -> int | None:
    """Return the index of the price on the next line if the line is numbered, as in `2) 1.0840`."""
    if state.tokens[index].kind != TokenKind.NEWLINE or state.tokens[index + 1].kind != TokenKind.NUMBER:
        return None
    end_index = match_enumerator(state.text, index + 1)
    if end_index is None:
        return None
    number_index, is_on_next_line = find_labelled_number(state, end_index)
    return None if is_on_next_line else number_index


def is_cornix(body: Body) -> bool:
    clean = body.source.clean
    # The cheap tests come first: this runs for every text that the fast path does not take.
    return ("argets" in clean or "rders" in clean or clean.isupper()) and _CORNIX_HEADING.search(clean) is not None


TEXT: Final = Format("text", lambda _: True, lambda body: parse_with_rules(body, RULES))

_CORNIX_RULES: Final[Rules] = {**RULES, TokenKind.ENTRY: read_entry_ladder}
CORNIX: Final = Format("cornix", is_cornix, lambda body: parse_with_rules(body, _CORNIX_RULES))
