"""The header: side, order type, symbol, and the words that announce the entry."""

from typing import Final

from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import symbols
from signalhub.grammar.parsed_fields import Spanned, SymbolMatch
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules.labels import read_stop_loss
from signalhub.grammar.vocabulary import TokenKind

_SIDE_BY_WORD: Final = {"BUY": Side.BUY, "LONG": Side.BUY, "SELL": Side.SELL, "SHORT": Side.SELL}
_KINDS_BEFORE_SYMBOL: Final = frozenset(
    {TokenKind.SIDE, TokenKind.SIDE_AND_TYPE, TokenKind.ORDER_TYPE, TokenKind.STOP_WORD}
)
_ORDER_TYPE_BY_WORD: Final = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "NOW": OrderType.MARKET,
    "INSTANTLY": OrderType.MARKET,
    "AT": OrderType.MARKET,
    "TRIGGER": OrderType.STOP,
}


def read_side(state: ParserState) -> None:
    token = state.tokens[state.pos]
    value = _SIDE_BY_WORD.get(token.text) or _SIDE_BY_WORD["BUY" if token.text.startswith("BUY") else "SELL"]
    if state.is_complete and state.fields.sides:
        state.restart_indexes.append(state.pos)
    else:
        state.fields.sides.append(Spanned(value, token.start, token.end))
        state.side_indexes.append(state.pos)
        state.expects_entry = True
        state.in_target_list = False
    state.mark_signal_start(token)
    token.used = True
    state.pos += 1


def read_side_with_order_type(state: ParserState) -> None:
    """`BUYLIMIT`: both in one word."""
    token = state.tokens[state.pos]
    _add_order_type(state, OrderType.STOP if token.text.endswith("STOP") else OrderType.LIMIT)
    read_side(state)


def _add_order_type(state: ParserState, value: OrderType) -> None:
    token = state.tokens[state.pos]
    token.used = True
    state.fields.order_types.append(Spanned(value, token.start, token.end))


def read_order_type(state: ParserState) -> None:
    """`market` is a common word, so it counts only where a price or a symbol is due."""
    name = state.tokens[state.pos].text
    counts = not state.has_levels and (state.expects_entry or (name != "MARKET" and state.has_header))
    neighbours = state.tokens[state.pos + 1].kind, state.tokens[state.pos - 1].text
    if counts or neighbours[0] in (TokenKind.ENTRY, TokenKind.SIDE) or neighbours[1] == ":":
        _add_order_type(state, _ORDER_TYPE_BY_WORD[name])
        state.expects_entry = state.has_header and not state.has_levels
    state.pos += 1


def read_stop(state: ParserState) -> None:
    """The order type right behind the side or, in the header, behind the symbol; everywhere else the stop loss."""
    before = state.tokens[state.pos - 1]
    if before.text in ("-", "_") and state.is_adjacent(state.pos):
        before = state.tokens[state.pos - 2]
    is_behind_name = bool(state.fields.symbols and state.fields.sides) and state.fields.symbols[-1].end == before.end
    is_type = before.kind == TokenKind.SIDE or (is_behind_name and not state.fields.entries and not state.has_levels)
    if state.pos == 0 or not is_type:
        read_stop_loss(state)
        return
    _add_order_type(state, OrderType.STOP)
    state.expects_entry = True
    state.pos += 1


def expect_entry(state: ParserState) -> None:
    """`below`, `from`: a price is coming, if the header has begun. One that does not come is missed later."""
    if state.expects_entry:
        token = state.tokens[state.pos]
        state.announced_entry = state.announced_entry or Spanned(token.text, token.start, token.end)
    state.expects_entry = state.expects_entry or (state.has_header and not state.has_levels)
    state.pos += 1


def read_symbol_label(state: ParserState) -> None:
    """`Symbol:` makes the next word a symbol, known or not."""
    at = state.pos + 1
    while state.tokens[at].kind == TokenKind.MARK:
        at += 1
    state.labelled_symbol_index = at
    state.pos += 1


def read_word(state: ParserState) -> None:
    read = symbols.match_known(state, state.pos)
    if read is not None:
        add_symbol(state, *read)
    elif state.labelled_symbol_index == state.pos and (read := symbols.match_ticker(state, state.pos)):
        state.labelled_symbols.append(read[0])
        state.mark_signal_start(state.tokens[state.pos])
        state.mark_used(state.pos, read[1])
        state.pos = read[1]
    else:
        # Beside the side an unknown word is most likely the symbol, and the entry may still follow.
        state.expects_entry = state.expects_entry and state.tokens[state.pos - 1].kind in _KINDS_BEFORE_SYMBOL
        state.pos = symbols.join_word(state, state.pos)[1]


def read_currency(state: ParserState) -> None:
    """`USD` stands beside a price, or begins a pair."""
    read = symbols.match_known(state, state.pos)
    if read is None:
        state.pos += 1
    else:
        add_symbol(state, *read)


def add_symbol(state: ParserState, symbol: SymbolMatch, end_index: int) -> None:
    token = state.tokens[state.pos]
    if state.is_complete and state.fields.symbols:
        if symbol.name != state.fields.symbols[0].name:
            state.restart_indexes.append(state.pos)
    else:
        state.fields.symbols.append(symbol)
        state.expects_entry = not state.has_levels and not state.fields.entries
        state.in_target_list = False
        state.mark_signal_start(token)
    state.mark_used(state.pos, end_index)
    state.pos = end_index
