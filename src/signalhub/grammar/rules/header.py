"""Rules for the header: side, order type, symbol, and the words that announce the entry."""

from typing import Final

from signalhub.domain.signal import OrderType, Side
from signalhub.grammar.parsed_fields import Spanned, SymbolMatch
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules.labels import read_stop_loss
from signalhub.grammar.symbols import join_word, match_known, match_ticker
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


def read_side(state: ParserState, index: int) -> int:
    token = state.tokens[index]
    side = _SIDE_BY_WORD.get(token.text) or _SIDE_BY_WORD["BUY" if token.text.startswith("BUY") else "SELL"]
    if state.is_complete and state.fields.sides:
        state.restart_indexes.append(index)
    else:
        state.fields.sides.append(Spanned(side, token.start, token.end))
        state.side_indexes.append(index)
        state.expects_entry = True
        state.in_target_list = False
    state.mark_signal_start(token)
    token.used = True
    return index + 1


def read_side_with_order_type(state: ParserState, index: int) -> int:
    """Read `BUYLIMIT`, which is both in one word."""
    is_stop = state.tokens[index].text.endswith("STOP")
    add_order_type(state, index, OrderType.STOP if is_stop else OrderType.LIMIT)
    return read_side(state, index)


def add_order_type(state: ParserState, index: int, order_type: OrderType) -> None:
    token = state.tokens[index]
    token.used = True
    state.fields.order_types.append(Spanned(order_type, token.start, token.end))


def read_order_type(state: ParserState, index: int) -> int:
    """Read an order type. `market` is a common word, so it counts only where a price or a symbol is due."""
    word = state.tokens[index].text
    is_due = not state.has_levels and (state.expects_entry or (word != "MARKET" and state.has_header))
    precedes_header = state.tokens[index + 1].kind in (TokenKind.ENTRY, TokenKind.SIDE)
    if is_due or precedes_header or state.tokens[index - 1].text == ":":
        add_order_type(state, index, _ORDER_TYPE_BY_WORD[word])
        state.expects_entry = state.has_header and not state.has_levels
    return index + 1


def read_stop(state: ParserState, index: int) -> int:
    """Read `STOP`: the order type after the side or, in the header, after the symbol; elsewhere the stop loss."""
    fields = state.fields
    before = state.tokens[index - 1]
    if before.text in ("-", "_") and state.text.is_adjacent(index):
        before = state.tokens[index - 2]
    is_after_symbol = bool(fields.symbols and fields.sides) and fields.symbols[-1].end == before.end
    is_order_type = before.kind == TokenKind.SIDE or (is_after_symbol and not fields.entries and not state.has_levels)
    if index == 0 or not is_order_type:
        return read_stop_loss(state, index)
    add_order_type(state, index, OrderType.STOP)
    state.expects_entry = True
    return index + 1


def expect_entry(state: ParserState, index: int) -> int:
    """Expect an entry after `below` or `from`, if the header has begun. A missing price is reported later."""
    if state.expects_entry:
        token = state.tokens[index]
        state.announced_entry = state.announced_entry or Spanned(token.text, token.start, token.end)
    state.expects_entry = state.expects_entry or (state.has_header and not state.has_levels)
    return index + 1


def read_symbol_label(state: ParserState, index: int) -> int:
    """Make the word after `Symbol:` a symbol, known or not."""
    word_index = index + 1
    while state.tokens[word_index].kind == TokenKind.MARK:
        word_index += 1
    state.labelled_symbol_index = word_index
    return index + 1


def read_word(state: ParserState, index: int) -> int:
    word = join_word(state.tokens, index)  # joined once for all attempts: most tokens of a long text come here
    symbol = match_known(state.text, index, word)
    if symbol is not None:
        return add_symbol(state, index, symbol)
    if state.labelled_symbol_index == index and (symbol := match_ticker(state.text, index, word)):
        state.apply_symbol(symbol)
        state.labelled_symbols.append(symbol)
        state.mark_signal_start(state.tokens[index])
        state.mark_used(index, symbol.end_index)
        return symbol.end_index
    # Beside the side an unknown word is most likely the symbol, and the entry may still follow.
    state.expects_entry = state.expects_entry and state.tokens[index - 1].kind in _KINDS_BEFORE_SYMBOL
    return word[1]


def read_currency(state: ParserState, index: int) -> int:
    """Read `USD`, which stands beside a price or begins a pair."""
    symbol = match_known(state.text, index)
    return index + 1 if symbol is None else add_symbol(state, index, symbol)


def add_symbol(state: ParserState, index: int, symbol: SymbolMatch) -> int:
    """Add a known symbol that was matched at `index`. After a complete signal it may begin another one."""
    state.apply_symbol(symbol)
    if state.is_complete and state.fields.symbols:
        if symbol.name != state.fields.symbols[0].name:
            state.restart_indexes.append(index)
    else:
        state.fields.symbols.append(symbol)
        state.expects_entry = not state.has_levels and not state.fields.entries
        state.in_target_list = False
        state.mark_signal_start(state.tokens[index])
    state.mark_used(index, symbol.end_index)
    return symbol.end_index
