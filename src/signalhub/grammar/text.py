"""A text as it was sent and the copy that is read, character for character beside each other."""

import re
from bisect import bisect_right
from typing import Final

from signalhub.domain.errors import Problem
from signalhub.grammar.characters import clean_text
from signalhub.grammar.results import Ignored

_LINE_END: Final = re.compile("\r\n|[\n\r\u2028\u2029]")


class SourceText:
    """`raw` is what was sent and what is quoted back; `clean` is what is parsed. Both have the same length."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.clean = clean_text(raw)
        self._line_starts: list[int] | None = None

    @property
    def line_starts(self) -> list[int]:
        if self._line_starts is None:
            self._line_starts = [0, *[end.end() for end in _LINE_END.finditer(self.raw)]]
        return self._line_starts

    def locate(self, start: int) -> tuple[int, int]:
        """Line and column, both from 1."""
        starts = self.line_starts
        line = bisect_right(starts, start)
        return line, start - starts[line - 1] + 1

    def build_ignored(self, start: int, end: int, reason: str) -> Ignored:
        line, column = self.locate(start)
        return Ignored(line, column, end - start, start, self.raw[start:end], reason)

    def build_problem(self, code: str, hint: str, start: int = 0, end: int = 0) -> Problem:
        line, column = self.locate(start)
        return Problem(code=code, line=line, column=column, length=end - start, text=self.raw[start:end], hint=hint)
