"""Rules for the labels of stop loss, take profit and entry, with the prices after them."""

from typing import Final

from signalhub.domain.signal import OrderType
from signalhub.grammar.lexer import Token
from signalhub.grammar.non_prices import is_ratio, match_label_index, match_line_number, match_measurement
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import MAX_TAKE_PROFITS, EntryRange, Spanned
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.prices import match_entry, match_price_list
from signalhub.grammar.rules.notes import CURRENT_PRICE_WORDS, find_labelled_number
from signalhub.grammar.vocabulary import TokenKind

_VALUE_ENDING_KINDS: Final = frozenset(
    {
        TokenKind.NEWLINE,
        TokenKind.SL,
        TokenKind.TP,
        TokenKind.ENTRY,
        TokenKind.STOP_WORD,
        TokenKind.SIDE,
        TokenKind.TRADE_OUTCOME,
        TokenKind.MANAGEMENT,
    }
)
_MINUS_SIGN: Final = "\u2212"


def read_stop_loss(state: ParserState, index: int) -> int:
    end_index, _ = read_level_label(state, index, state.fields.stop_losses, "stop_loss")
    return end_index


def read_take_profits(state: ParserState, index: int) -> int:
    end_index, state.in_target_list = read_level_label(state, index, state.fields.take_profits, "take_profit")
    return end_index


def read_level_label(state: ParserState, index: int, levels: list[Number], field: str) -> tuple[int, bool]:
    """Read a label and its prices into `levels`. Return also whether prices are, or may be, on the next lines."""
    label = state.tokens[index]
    state.mark_signal_start(label)
    label.used = True
    state.expects_entry = state.in_target_list = False
    index = skip_label_index(state, index + 1, len(levels) + 1)
    number_index, is_on_next_line = find_labelled_number(state, index)
    if number_index is None:
        return read_empty_label(state, index, label, field), True
    if is_on_next_line:
        first_index = skip_line_number(state, number_index, len(levels) + 1)
        number_index = find_labelled_number(state, first_index)[0] or number_index
    end_index = read_prices(state, number_index, levels)
    state.fields.has_too_many_errors = state.fields.has_too_many_errors or len(levels) > MAX_TAKE_PROFITS
    return end_index, is_on_next_line


def skip_label_index(state: ParserState, index: int, expected_index: int) -> int:
    """Return the index after the 1 of `TP1`."""
    match = match_label_index(state.text, index, expected_index)
    if match.price_token is not None:
        state.tokens[match.end_index] = match.price_token
    if match.used_index >= 0:
        state.tokens[match.used_index].used = True
    if match.problem is not None:
        state.fields.add_problem(*match.problem)
    return match.end_index


def skip_line_number(state: ParserState, index: int, expected_number: int) -> int:
    """Return the index of the price after the number of a line in a list."""
    match = match_line_number(state.text, index, expected_number)
    if match.problem is not None:
        state.fields.add_problem(*match.problem)
    if match.used_index >= 0:
        state.tokens[match.used_index].used = True
    return match.end_index


def read_prices(state: ParserState, index: int, levels: list[Number]) -> int:
    """Read the prices of one line into `levels`."""
    match = match_price_list(state.text, index)
    state.apply(match)
    levels.extend(match.numbers)
    return match.end_index


def read_next_take_profit(state: ParserState, index: int) -> int:
    """Read one more line of a list of take profits whose label stands above it."""
    first_index = skip_line_number(state, index, len(state.fields.take_profits) + 1)
    number_index, _ = find_labelled_number(state, first_index)
    return read_prices(state, index if number_index is None else number_index, state.fields.take_profits)


def read_empty_label(state: ParserState, index: int, label: Token, field: str) -> int:
    """Record a label without a price: a mention in a sentence, or with a number on its line an unreadable price."""
    while state.tokens[index].kind == TokenKind.MARK and state.tokens[index].text != _MINUS_SIGN:
        index += 1
    if state.tokens[index].kind == TokenKind.RUNNER:
        state.add_note(index, index + 1)
        index += 1
    elif (price_index := find_unreadable_price(state, index)) is not None:
        start = state.tokens[price_index].start
        end = state.text.find_run_end(start)
        state.signal_end = max(state.signal_end, end)
        hint = "Write the price right behind its label, like SL 1.0850."
        state.fields.add_problem("bad_price", hint, start, end)
        index = price_index + 1
    state.fields.empty_labels.setdefault(field, Spanned(label.text, label.start, label.end))
    return index


def find_unreadable_price(state: ParserState, index: int) -> int | None:
    """Find what stands in place of the price: a failed calculation, foreign digits, or a number after other words."""
    token = state.tokens[index]
    is_foreign_number = token.kind == TokenKind.WORD and token.text[0].isdigit()
    if token.kind == TokenKind.FAILED_VALUE or token.text == _MINUS_SIGN or is_foreign_number:
        return index
    while state.tokens[index].kind not in _VALUE_ENDING_KINDS:
        if state.tokens[index].kind == TokenKind.NUMBER:
            return index if match_measurement(state.text, index) is None else None
        index += 1
    return None


def read_entry(state: ParserState, index: int) -> int:
    """Read the entry that begins with a number."""
    state.expects_entry = False
    match = match_entry(state.text, index)
    state.apply(match)
    if match.numbers:
        state.fields.entries.append(EntryRange(*match.numbers))
    return match.end_index


def read_entry_label(state: ParserState, index: int) -> int:
    label = state.tokens[index]
    state.mark_signal_start(label)
    label.used = True
    state.in_target_list = False
    value_index = skip_entry_count(state, index + 1)
    number_index, _ = find_labelled_number(state, value_index)
    if number_index is None:
        return read_empty_entry_label(state, value_index, label_index=index)
    return read_entry(state, number_index)


def skip_entry_count(state: ParserState, index: int) -> int:
    """Return the index after the 1 of `Entry 1: 2345`. Without the colon it may be the low end of a zone."""
    token = state.tokens[index]
    is_count = len(token.text) == 1 and state.tokens[index + 1].text == ":" and not is_ratio(state.text, index)
    token.used = token.used or is_count
    return index + 1 if is_count and token.kind == TokenKind.NUMBER else index


def read_empty_entry_label(state: ParserState, index: int, *, label_index: int) -> int:
    """Read the order type of `Entry: NOW` or `Entry: market price`. `Entry:` alone must not become a market order."""
    while state.tokens[index].kind == TokenKind.MARK:
        index += 1
    state.expects_entry = True
    value, label = state.tokens[index], state.tokens[label_index]
    is_current_price = value.kind == TokenKind.NOTE and value.text in CURRENT_PRICE_WORDS
    if is_current_price and state.tokens[index + 1].kind == TokenKind.NEWLINE:
        state.fields.order_types.append(Spanned(OrderType.MARKET, value.start, value.end))
        value.used = True
        return index + 1
    if TokenKind.ORDER_TYPE not in (value.kind, state.tokens[label_index - 1].kind):
        state.fields.empty_labels.setdefault("entry", Spanned(label.text, label.start, label.end))
    return index
