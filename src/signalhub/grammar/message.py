"""A text being read: its tokens, the draft that grows out of them, and what the rules have to remember.

The rules move `at` forward; nothing ever moves it back, which is what keeps reading linear.
"""

import re
from typing import Final

from signalhub.grammar.draft import Draft, Found, Name
from signalhub.grammar.numbers import Number
from signalhub.grammar.scan import Token, scan
from signalhub.grammar.vocabulary import Kind

_AHEAD: Final = 8
_MANY: Final = 128
_SHORTEST: Final = 3.5
_BETWEEN: Final = frozenset({Kind.MARK, Kind.NEWLINE})
_RUN: Final = re.compile(r"[^ \t\r\n]{1,100}")


class Message:
    """`expecting` means that a bare number would be the entry, `listing` that it would be one more target."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.text = text = draft.text
        self.tokens = scan(text.clean)
        self.size = len(self.tokens)
        end = len(text.clean)
        # Rules look a few tokens ahead; ends of line that are always there spare them every bounds check.
        self.tokens.extend([Token(Kind.NEWLINE, end, end, "") for _ in range(_AHEAD)])
        self.at = 0
        self.expecting = False
        self.listing = False
        self.asset_at = -1
        self.promised: Found[str] | None = None  # the word that announced an entry
        self.begin = -1  # where the first piece of the signal stands
        self.reach = 0  # where the last level ends: what comes later is ignored
        self.glued = (-1, "", 0)  # the last run of letters and digits that was asked for: where, what, up to where
        self.restarts: list[int] = []  # sides and symbols behind a complete signal
        self.sides_at: list[int] = []
        self.strays: list[Number] = []
        self.noted: list[Number] = []  # in notes of the header
        self.tags: list[Name] = []
        self.assets: list[Name] = []
        self.remarks: list[int] = []  # words that tell of open trades, negations, conditions

    @property
    def is_confetti(self) -> bool:
        """Whether there are hundreds of words and numbers of two or three characters, with what is between them.

        Who writes needs twice as many and stops at seventy. Reading costs time for each piece, and this bounds it by
        the length of the text.
        """
        if self.size <= _MANY:
            return False
        pieces = sum([token.kind not in _BETWEEN for token in self.tokens])
        return pieces > _MANY and len(self.text.clean) < _SHORTEST * pieces

    @property
    def is_complete(self) -> bool:
        """Whether both kinds of level are there, so that another side would begin another signal."""
        return bool(self.draft.stops and self.draft.targets)

    @property
    def has_levels(self) -> bool:
        return bool(self.draft.stops or self.draft.targets)

    @property
    def has_header(self) -> bool:
        return bool(self.draft.sides or self.draft.names)

    def starts_line(self, at: int) -> bool:
        """Whether nothing but marks stands before the token on its line."""
        while at > 0 and self.tokens[at - 1].kind == Kind.MARK:
            at -= 1
        return at == 0 or self.tokens[at - 1].kind == Kind.NEWLINE

    def is_glued(self, at: int) -> bool:
        """Whether the token follows the one before it without a gap."""
        return at > 0 and self.tokens[at].start == self.tokens[at - 1].end

    def begins(self, token: Token) -> None:
        """The token is a piece of a signal; the first of them is where the signal begins."""
        if self.begin < 0:
            self.begin = token.start

    def use(self, first: int, last: int) -> None:
        """The tokens from `first` up to `last` were understood."""
        for token in self.tokens[first:last]:
            token.used = True

    def note(self, first: int, last: int) -> None:
        """The tokens from `first` up to `last` say something that changes nothing."""
        if last > first:
            self.use(first, last)
            start, end = self.tokens[first].start, self.tokens[last - 1].end
            self.draft.notes.append(Found(self.text.raw[start:end], start, end))

    def run_from(self, start: int) -> int:
        """Where the unbroken run of characters that begins at `start` ends, or how much of it is enough to show."""
        run = _RUN.match(self.text.clean, start)
        return run.end() if run else start
