"""The rules of the text grammar: for each kind of token, what to do where one stands.

A rule stands at `m.at`, reads what belongs to it and moves `m.at` behind that.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from signalhub.grammar.message import Message
from signalhub.grammar.rules import asides, figures, header, labels, marks
from signalhub.grammar.vocabulary import Kind

Rule = Callable[[Message], None]
Rules = Mapping[str, Rule]

RULES: Final[Rules] = MappingProxyType(
    {
        # The header: who, what, how, and at which price.
        Kind.SIDE: header.side,
        Kind.ORDER: header.order,
        Kind.TYPE: header.order_type,
        Kind.STOP: header.stop,
        Kind.AT: header.at_word,
        Kind.ASSET: header.asset,
        Kind.MONEY: header.money,
        Kind.WORD: header.word,
        # Labels and the prices behind them.
        Kind.SL: labels.stop_loss,
        Kind.TP: labels.target,
        Kind.ENTRY: labels.entry,
        # Numbers without a label.
        Kind.NUMBER: figures.number,
        Kind.UNIT: figures.unit,
        Kind.MARK: marks.mark,
        # What changes nothing, or the quantity only.
        Kind.QUANTITY: asides.quantity,
        Kind.NOTE: asides.note,
        Kind.FILLER: asides.skip,
        Kind.TO: asides.skip,
        Kind.NEWLINE: asides.newline,
        # Words that mean something only beside a number or a label.
        Kind.VOID: header.word,
        Kind.CLOCK: figures.timeframe,
        Kind.CALENDAR: header.word,
        Kind.OPTION: header.word,
        # Words that may tell that this is no order; `intent` decides when all is read.
        Kind.OPEN: asides.remark,
        Kind.MANAGE: asides.remark,
        Kind.DONE: asides.remark,
        Kind.WHEN: asides.remark,
        Kind.NOT: asides.remark,
        Kind.NO: asides.remark,
        Kind.IF: asides.remark,
    }
)
