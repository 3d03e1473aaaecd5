"""What changes nothing, or only the quantity: notes, fillers, remarks."""

from typing import Final

from signalhub.grammar import prices
from signalhub.grammar.numbers import Number, parse_exact
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.vocabulary import TokenKind

CURRENT_PRICE_WORDS: Final = frozenset({"CMP", "CURRENT", "MARKET", "LAST"})  # the price now, which no entry is
_NOTE_ENDING_KINDS: Final = frozenset(
    {TokenKind.NEWLINE, TokenKind.SL, TokenKind.TP, TokenKind.ENTRY, TokenKind.STOP_WORD}
)


def skip_token(state: ParserState) -> None:
    state.pos += 1


def read_newline(state: ParserState) -> None:
    """A blank line ends a list of targets that has begun."""
    if state.in_target_list and state.fields.take_profits and state.tokens[state.pos].text.count("\n") > 1:
        state.in_target_list = False
    state.pos += 1


def record_remark(state: ParserState) -> None:
    """Remember a word that may tell of an open trade, a negation or a condition."""
    state.remark_indexes.append(state.pos)
    state.expects_entry = False
    state.pos += 1


def skip_note(state: ParserState) -> None:
    """Leave the rest of the line aside, up to the next label, side or entry."""
    first, is_quote = state.pos, state.tokens[state.pos].text in CURRENT_PRICE_WORDS
    state.pos += 1
    while not _is_end_of_note(state):
        token = state.tokens[state.pos]
        if token.kind == TokenKind.NUMBER and state.has_header and not (state.has_levels or is_quote):
            state.header_note_numbers.append(Number(token.text, token.start, token.end, parse_exact(token.text)))
        state.pos += 1
    state.add_note(first, state.pos)


def _is_end_of_note(state: ParserState) -> bool:
    token = state.tokens[state.pos]
    if token.kind in _NOTE_ENDING_KINDS or (token.kind == TokenKind.SIDE and not state.fields.sides):
        return True
    if state.has_levels or state.fields.entries or state.tokens[state.pos + 1].kind != TokenKind.NUMBER:
        return False
    return token.text == "@" or (token.kind == TokenKind.PRICE_PREFIX and state.has_header)


def read_quantity_label(state: ParserState) -> None:
    number, crossed = prices.find_labelled_price(state, state.pos + 1)
    label = state.tokens[state.pos]
    state.pos += 1
    if number is not None and not crossed:
        label.used = True
        state.pos = number
        add_quantity(state)


def add_quantity(state: ParserState) -> None:
    token, following = state.tokens[state.pos], state.tokens[state.pos + 1]
    value = parse_exact(token.text)
    is_torn = state.is_adjacent(state.pos + 1) and (following.text == "%" or following.kind == TokenKind.WORD)
    if not value or is_torn or prices.is_negative(state, state.pos):
        state.fields.add_problem(
            "bad_quantity", "Write the quantity as a number above 0, like LOT 0.05.", token.start, token.end
        )
    else:
        state.fields.quantities.append(Number(token.text, token.start, token.end, value))
    token.used = True
    state.pos += 1
    if following.kind == TokenKind.QUANTITY:
        following.used = True
        state.pos += 1
