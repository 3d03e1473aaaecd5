"""The rules of the text grammar: for each kind of token, what to do where one stands.

A rule stands at `m.at`, reads what belongs to it and moves `m.at` behind that.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules import header, labels, marks, notes, unlabelled_numbers
from signalhub.grammar.vocabulary import TokenKind

Rule = Callable[[ParserState], None]
Rules = Mapping[str, Rule]

RULES: Final[Rules] = MappingProxyType(
    {
        # The header: who, what, how, and at which price.
        TokenKind.SIDE: header.read_side,
        TokenKind.SIDE_AND_TYPE: header.read_side_with_order_type,
        TokenKind.ORDER_TYPE: header.read_order_type,
        TokenKind.STOP_WORD: header.read_stop,
        TokenKind.PRICE_PREFIX: header.expect_entry,
        TokenKind.SYMBOL_LABEL: header.read_symbol_label,
        TokenKind.CURRENCY: header.read_currency,
        TokenKind.WORD: header.read_word,
        # Labels and the prices behind them.
        TokenKind.SL: labels.read_stop_loss,
        TokenKind.TP: labels.read_take_profits,
        TokenKind.ENTRY: labels.read_entry_label,
        # Numbers without a label.
        TokenKind.NUMBER: unlabelled_numbers.read_number,
        TokenKind.UNIT: unlabelled_numbers.read_unit,
        TokenKind.MARK: marks.read_mark,
        # What changes nothing, or the quantity only.
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
        # Words that may tell that this is no order; `intent` decides when all is read.
        TokenKind.RUNNER: notes.record_remark,
        TokenKind.MANAGEMENT: notes.record_remark,
        TokenKind.TRADE_OUTCOME: notes.record_remark,
        TokenKind.TIME_CONDITION: notes.record_remark,
        TokenKind.NEGATION: notes.record_remark,
        TokenKind.WITHOUT: notes.record_remark,
        TokenKind.CONDITION: notes.record_remark,
    }
)
