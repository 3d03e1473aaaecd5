"""Numbers right behind the last level that look like one more: `TP 2353 then 2356`, or `2356` alone on the next line.

What comes after the last level is ignored, but a target nobody read must not get lost with it.
"""

import re
from decimal import Decimal
from typing import Final

from signalhub.grammar.message import ParserState
from signalhub.grammar.numbers import Number
from signalhub.grammar.vocabulary import TokenKind

_TRAILING_LINES: Final = re.compile(r"[^\n]*(?:\n(?:[^(A-Za-z\x80-\U0010ffff\n]|\([^()\n]*\))*(?=\n|\Z))*")
"""The rest of the line of the last level, and the lines below it that hold no word, unless in brackets."""

_MAX_PRICE_RATIO: Final = 2
_COPYRIGHT_LOOKBACK_CHARS: Final = 8
_KINDS_BEFORE_ENTRY: Final = frozenset({TokenKind.PRICE_PREFIX, TokenKind.ORDER_TYPE, TokenKind.STOP_WORD})


class TrailingNumbers:
    """What stands behind the last level and still belongs to the levels."""

    def __init__(self, state: ParserState) -> None:
        self._state = state
        values = state.fields.level_values
        self._lowest, self._highest = (min(values), max(values)) if values else (Decimal(0), Decimal(0))
        self._has_whole_price = not all("." in level.text for level in state.fields.levels)
        self._line_end = state.source.clean.find("\n", state.signal_end) % (
            len(state.source.clean) + 1
        )  # -1 is the end of the text
        rest = _TRAILING_LINES.match(state.source.clean, state.signal_end)
        self._trailing_end = rest.end() if rest else state.signal_end
        self._announced_starts = self._find_announced_starts() if not state.fields.entries else frozenset()

    def may_hold_level(self, number: Number) -> bool:
        value = number.value
        if value is None or self._is_copyright_year(number):
            return False
        # Between words `2 positions` is no price of EURUSD; alone on a line a 2 may well be one.
        if number.start < self._line_end and not (self._has_whole_price or "." in number.text):
            return False
        if number.start < self._trailing_end:
            return self._lowest / _MAX_PRICE_RATIO < value < self._highest * _MAX_PRICE_RATIO
        return number.start in self._announced_starts and self._lowest < value < self._highest

    def _is_copyright_year(self, number: Number) -> bool:
        return (
            self._state.source.raw[max(0, number.start - _COPYRIGHT_LOOKBACK_CHARS) : number.start]
            .rstrip()
            .endswith("\u00a9")
        )

    def _find_announced_starts(self) -> frozenset[int]:
        """Where numbers stand behind `from` or `LIMIT` at the start of a line: an entry told last."""
        tokens = self._state.tokens
        return frozenset(
            tokens[at + 1].start
            for at in range(self._state.token_count)
            if tokens[at].kind in _KINDS_BEFORE_ENTRY
            and tokens[at].start > self._state.signal_end
            and self._state.starts_line(at)
        )
