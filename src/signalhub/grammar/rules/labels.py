"""Labels: stop loss, take profit and entry, with the prices behind them."""

from typing import Final

from signalhub.domain.signal import OrderType
from signalhub.grammar import prices
from signalhub.grammar.lexer import Token
from signalhub.grammar.non_prices import is_ratio, match_measurement, skip_label_index, skip_line_number
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import MAX_TAKE_PROFITS, Spanned
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules.notes import CURRENT_PRICE_WORDS
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


def read_stop_loss(state: ParserState) -> None:
    _read_labelled_prices(state, state.fields.stop_losses, "stop_loss")


def read_take_profits(state: ParserState) -> None:
    state.in_target_list = _read_labelled_prices(state, state.fields.take_profits, "take_profit")


def _read_labelled_prices(state: ParserState, collected: list[Number], field: str) -> bool:
    """Read the prices behind a label; say whether they are, or may be, on the lines below it."""
    label = state.tokens[state.pos]
    state.mark_signal_start(label)
    label.used = True
    state.expects_entry = state.in_target_list = False
    state.pos = skip_label_index(state, state.pos + 1, len(collected) + 1)
    number, crossed = prices.find_labelled_price(state, state.pos)
    if number is None:
        _read_empty_label(state, label, field)
        return True
    if crossed:
        number = prices.find_labelled_price(state, skip_line_number(state, number, len(collected) + 1))[0] or number
    numbers, state.pos = prices.read_price_list(state, number)
    collected.extend(numbers)
    state.fields.has_too_many_errors = state.fields.has_too_many_errors or len(collected) > MAX_TAKE_PROFITS
    return crossed


def _read_empty_label(state: ParserState, label: Token, field: str) -> None:
    """A label in a sentence is a mention, but one with a number on its line is a price we could not read."""
    while state.tokens[state.pos].kind == TokenKind.MARK and state.tokens[state.pos].text != "\u2212":
        state.pos += 1
    following = state.tokens[state.pos]
    if following.kind == TokenKind.RUNNER:
        state.add_note(state.pos, state.pos + 1)
        state.pos += 1
    elif (unread := _find_unreadable_price(state)) is not None:
        start, end = state.tokens[unread].start, state.find_run_end(state.tokens[unread].start)
        state.signal_end = max(state.signal_end, end)
        state.fields.add_problem("bad_price", "Write the price right behind its label, like SL 1.0850.", start, end)
        state.pos = unread + 1
    state.fields.empty_labels.setdefault(field, Spanned(label.text, label.start, label.end))


def _find_unreadable_price(state: ParserState) -> int | None:
    """What stands where the price should: a failed calculation, foreign digits, or a number behind other words."""
    token = state.tokens[state.pos]
    if (
        token.kind == TokenKind.FAILED_VALUE
        or token.text == "\u2212"
        or (token.kind == TokenKind.WORD and token.text[0].isdigit())
    ):
        return state.pos
    at = state.pos
    while state.tokens[at].kind not in _VALUE_ENDING_KINDS:
        if state.tokens[at].kind == TokenKind.NUMBER:
            return at if match_measurement(state, at) is None else None
        at += 1
    return None


def read_entry_label(state: ParserState) -> None:
    label = state.tokens[state.pos]
    state.mark_signal_start(label)
    label.used = True
    state.in_target_list = False
    first = state.pos
    state.pos = _skip_entry_count(state, state.pos + 1)
    number, _ = prices.find_labelled_price(state, state.pos)
    if number is None:
        _read_empty_entry_label(state, first)
    else:
        prices.read_entry(state, number)


def _skip_entry_count(state: ParserState, index: int) -> int:
    """Over the 1 of `Entry 1: 2345`. Without the colon it may be the low end of a zone."""
    is_count = len(state.tokens[index].text) == 1 and state.tokens[index + 1].text == ":" and not is_ratio(state, index)
    state.tokens[index].used = state.tokens[index].used or is_count
    return index + 1 if is_count and state.tokens[index].kind == TokenKind.NUMBER else index


def _read_empty_entry_label(state: ParserState, label_index: int) -> None:
    """`Entry: NOW` and `Entry: market price` name the order type; `Entry:` alone must not become a market order."""
    while state.tokens[state.pos].kind == TokenKind.MARK:
        state.pos += 1
    state.expects_entry = True
    if (
        state.tokens[state.pos].kind == TokenKind.NOTE
        and state.tokens[state.pos].text in CURRENT_PRICE_WORDS
        and state.tokens[state.pos + 1].kind == TokenKind.NEWLINE
    ):
        quote = state.tokens[state.pos]
        state.fields.order_types.append(Spanned(OrderType.MARKET, quote.start, quote.end))
        state.mark_used(state.pos, state.pos + 1)
        state.pos += 1
    elif (
        state.tokens[state.pos].kind != TokenKind.ORDER_TYPE
        and state.tokens[label_index - 1].kind != TokenKind.ORDER_TYPE
    ):
        label = state.tokens[label_index]
        state.fields.empty_labels.setdefault("entry", Spanned(label.text, label.start, label.end))
