"""Numbers right behind the last level that look like one more: `TP 2353 then 2356`, or `2356` alone on the next line.

What comes after the last level is ignored, but a target nobody read must not get lost with it.
"""

import re
from decimal import Decimal
from typing import Final

from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number
from signalhub.grammar.vocabulary import Kind

_REST: Final = re.compile(r"[^\n]*(?:\n(?:[^(A-Za-z\x80-\U0010ffff\n]|\([^()\n]*\))*(?=\n|\Z))*")
"""The rest of the line of the last level, and the lines below it that hold no word, unless in brackets."""

_NEAR: Final = 2
_LOOK_BACK: Final = 8
_ANNOUNCING: Final = frozenset({Kind.AT, Kind.TYPE, Kind.STOP})


class Overhang:
    """What stands behind the last level and still belongs to the levels."""

    def __init__(self, m: Message) -> None:
        self._m = m
        values = m.draft.values
        self._low, self._high = (min(values), max(values)) if values else (Decimal(0), Decimal(0))
        self._are_whole = not all("." in level.text for level in m.draft.levels)
        self._line_end = m.text.clean.find("\n", m.reach) % (len(m.text.clean) + 1)  # -1 is the end of the text
        rest = _REST.match(m.text.clean, m.reach)
        self._end = rest.end() if rest else m.reach
        self._late = self._announced() if not m.draft.entries else frozenset()

    def holds(self, stray: Number) -> bool:
        value = stray.value
        if value is None or self._is_copyright(stray):
            return False
        # Between words `2 positions` is no price of EURUSD; alone on a line a 2 may well be one.
        if stray.start < self._line_end and not (self._are_whole or "." in stray.text):
            return False
        if stray.start < self._end:
            return self._low / _NEAR < value < self._high * _NEAR
        return stray.start in self._late and self._low < value < self._high

    def _is_copyright(self, stray: Number) -> bool:
        return self._m.text.raw[max(0, stray.start - _LOOK_BACK) : stray.start].rstrip().endswith("\u00a9")

    def _announced(self) -> frozenset[int]:
        """Where numbers stand behind `from` or `LIMIT` at the start of a line: an entry told last."""
        tokens = self._m.tokens
        return frozenset(
            tokens[at + 1].start
            for at in range(self._m.size)
            if tokens[at].kind in _ANNOUNCING and tokens[at].start > self._m.reach and self._m.starts_line(at)
        )
