"""Rules for tokens that change nothing, or only the quantity: notes, fillers, remarks."""

from typing import Final

from signalhub.grammar.numbers import Number, parse_exact
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.prices import find_labelled_price, is_negative
from signalhub.grammar.vocabulary import TokenKind

CURRENT_PRICE_WORDS: Final = frozenset({"CMP", "CURRENT", "MARKET", "LAST"})  # the price now, which is not an entry
_NOTE_ENDING_KINDS: Final = frozenset(
    {TokenKind.NEWLINE, TokenKind.SL, TokenKind.TP, TokenKind.ENTRY, TokenKind.STOP_WORD}
)


def skip_token(_state: ParserState, index: int) -> int:
    return index + 1


def read_newline(state: ParserState, index: int) -> int:
    """End a list of take profits that has begun at a blank line."""
    if state.in_target_list and state.fields.take_profits and state.tokens[index].text.count("\n") > 1:
        state.in_target_list = False
    return index + 1


def record_remark(state: ParserState, index: int) -> int:
    """Record a word that may be about an open trade, a negation or a condition."""
    state.remark_indexes.append(index)
    state.expects_entry = False
    return index + 1


def skip_note(state: ParserState, index: int) -> int:
    """Skip the rest of the line, up to the next label, side or entry."""
    start_index, is_current_price = index, state.tokens[index].text in CURRENT_PRICE_WORDS
    index += 1
    while not is_end_of_note(state, index):
        token = state.tokens[index]
        if token.kind == TokenKind.NUMBER and state.has_header and not (state.has_levels or is_current_price):
            state.header_note_numbers.append(Number(token.text, token.start, token.end, parse_exact(token.text)))
        index += 1
    state.add_note(start_index, index)
    return index


def is_end_of_note(state: ParserState, index: int) -> bool:
    token = state.tokens[index]
    if token.kind in _NOTE_ENDING_KINDS or (token.kind == TokenKind.SIDE and not state.fields.sides):
        return True
    if state.has_levels or state.fields.entries or state.tokens[index + 1].kind != TokenKind.NUMBER:
        return False
    return token.text == "@" or (token.kind == TokenKind.PRICE_PREFIX and state.has_header)


def find_labelled_number(state: ParserState, index: int) -> tuple[int | None, bool]:
    """Return the index of the number that a label announces, or None, and whether it is on the next line."""
    price = find_labelled_price(state.text, index)
    for enumerator_index in price.enumerators:
        state.tokens[enumerator_index].used = True
    return price.index, price.is_on_next_line


def read_quantity_label(state: ParserState, index: int) -> int:
    number_index, is_on_next_line = find_labelled_number(state, index + 1)
    if number_index is None or is_on_next_line:
        return index + 1
    state.tokens[index].used = True
    return add_quantity(state, number_index)


def add_quantity(state: ParserState, index: int) -> int:
    """Read a quantity, with `lots` after it."""
    token, following = state.tokens[index], state.tokens[index + 1]
    value = parse_exact(token.text)
    is_torn = state.text.is_adjacent(index + 1) and (following.text == "%" or following.kind == TokenKind.WORD)
    if not value or is_torn or is_negative(state.text, index):
        hint = "Write the quantity as a number above 0, like LOT 0.05."
        state.fields.add_problem("bad_quantity", hint, token.start, token.end)
    else:
        state.fields.quantities.append(Number(token.text, token.start, token.end, value))
    token.used = True
    if following.kind != TokenKind.QUANTITY:
        return index + 1
    following.used = True
    return index + 2
