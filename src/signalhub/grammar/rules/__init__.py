"""The rules of the text grammar: what to do at each kind of token.

A rule gets the state and the index of a token, reads what begins there and returns the index after it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules import header, labels, marks, notes, unlabelled_numbers
from signalhub.grammar.vocabulary import TokenKind

Rule = Callable[[ParserState, int], int]
Rules = Mapping[str, Rule]

RULES: Final[Rules] = MappingProxyType(
    {
        # The header: side, symbol, order type, and the words that announce the entry.
        TokenKind.SIDE: header.read_side,
        TokenKind.SIDE_AND_TYPE: header.read_side_with_order_type,
        TokenKind.ORDER_TYPE: header.read_order_type,
        TokenKind.STOP_WORD: header.read_stop,
        TokenKind.PRICE_PREFIX: header.expect_entry,
        TokenKind.SYMBOL_LABEL: header.read_symbol_label,
        TokenKind.CURRENCY: header.read_currency,
        TokenKind.WORD: header.read_word,
        # Labels and the prices after them.
        TokenKind.SL: labels.read_stop_loss,
        TokenKind.TP: labels.read_take_profits,
        TokenKind.ENTRY: labels.read_entry_label,
        # Numbers without a label.
        TokenKind.NUMBER: unlabelled_numbers.read_number,
        TokenKind.UNIT: unlabelled_numbers.read_unit,
        TokenKind.MARK: marks.read_mark,
        # Tokens that change nothing, or only the quantity.
        TokenKind.QUANTITY: notes.read_quantity_label,
        TokenKind.NOTE: notes.skip_note,
        TokenKind.FILLER: notes.skip_token,
        TokenKind.RANGE_WORD: notes.skip_token,
        TokenKind.NEWLINE: notes.read_newline,
        # Words that mean something only beside a number or a label.
        TokenKind.FAILED_VALUE: header.read_word,
        TokenKind.TIME_UNIT: unlabelled_numbers.read_timeframe,
        TokenKind.MONTH: header.read_word,
        TokenKind.OPTION: header.read_word,
        # Words that may say that the text is not an order; `non_orders` decides when the whole text is read.
        TokenKind.RUNNER: notes.record_remark,
        TokenKind.MANAGEMENT: notes.record_remark,
        TokenKind.TRADE_OUTCOME: notes.record_remark,
        TokenKind.TIME_CONDITION: notes.record_remark,
        TokenKind.NEGATION: notes.record_remark,
        TokenKind.WITHOUT: notes.record_remark,
        TokenKind.CONDITION: notes.record_remark,
    }
)
