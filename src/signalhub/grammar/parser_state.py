"""A text being read: its tokens, the draft that grows out of them, and what the rules have to remember.

The rules move `at` forward; nothing ever moves it back, which is what keeps reading linear.
"""

import re
from typing import Final

from signalhub.grammar.lexer import Token, tokenize
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import ParsedFields, Spanned, SymbolMatch
from signalhub.grammar.vocabulary import TokenKind

_LOOKAHEAD_TOKENS: Final = 8
_MIN_FRAGMENTED_TOKENS: Final = 128
_MIN_MEAN_TOKEN_CHARS: Final = 3.5
_SEPARATOR_KINDS: Final = frozenset({TokenKind.MARK, TokenKind.NEWLINE})
_UNBROKEN_RUN: Final = re.compile(r"[^ \t\r\n]{1,100}")


class ParserState:
    """`expecting` means that a bare number would be the entry, `listing` that it would be one more target."""

    def __init__(self, fields: ParsedFields) -> None:
        self.fields = fields
        self.source = text = fields.source
        self.tokens = tokenize(text.clean)
        self.token_count = len(self.tokens)
        end = len(text.clean)
        # Rules look a few tokens ahead; ends of line that are always there spare them every bounds check.
        self.tokens.extend([Token(TokenKind.NEWLINE, end, end, "") for _ in range(_LOOKAHEAD_TOKENS)])
        self.pos = 0
        self.expects_entry = False
        self.in_target_list = False
        self.labelled_symbol_index = -1
        self.announced_entry: Spanned[str] | None = None  # the word that announced an entry
        self.signal_start = -1  # where the first piece of the signal stands
        self.signal_end = 0  # where the last level ends: what comes later is ignored
        self.cached_word = (
            -1,
            "",
            0,
        )  # the last run of letters and digits that was asked for: where, what, up to where
        self.restart_indexes: list[int] = []  # sides and symbols behind a complete signal
        self.side_indexes: list[int] = []
        self.unexplained_numbers: list[Number] = []
        self.header_note_numbers: list[Number] = []  # in notes of the header
        self.tagged_symbols: list[SymbolMatch] = []
        self.labelled_symbols: list[SymbolMatch] = []
        self.remark_indexes: list[int] = []  # words that tell of open trades, negations, conditions

    @property
    def is_fragmented(self) -> bool:
        """Whether there are hundreds of words and numbers of two or three characters, with what is between them.

        Who writes needs twice as many and stops at seventy. Reading costs time for each piece, and this bounds it by
        the length of the text.
        """
        if self.token_count <= _MIN_FRAGMENTED_TOKENS:
            return False
        pieces = sum([token.kind not in _SEPARATOR_KINDS for token in self.tokens])
        return pieces > _MIN_FRAGMENTED_TOKENS and len(self.source.clean) < _MIN_MEAN_TOKEN_CHARS * pieces

    @property
    def is_complete(self) -> bool:
        """Whether both kinds of level are there, so that another side would begin another signal."""
        return bool(self.fields.stop_losses and self.fields.take_profits)

    @property
    def has_levels(self) -> bool:
        return bool(self.fields.stop_losses or self.fields.take_profits)

    @property
    def has_header(self) -> bool:
        return bool(self.fields.sides or self.fields.symbols)

    def starts_line(self, index: int) -> bool:
        """Whether nothing but marks stands before the token on its line."""
        while index > 0 and self.tokens[index - 1].kind == TokenKind.MARK:
            index -= 1
        return index == 0 or self.tokens[index - 1].kind == TokenKind.NEWLINE

    def is_adjacent(self, index: int) -> bool:
        """Whether the token follows the one before it without a gap."""
        return index > 0 and self.tokens[index].start == self.tokens[index - 1].end

    def mark_signal_start(self, token: Token) -> None:
        """The token is a piece of a signal; the first of them is where the signal begins."""
        if self.signal_start < 0:
            self.signal_start = token.start

    def mark_used(self, start_index: int, end_index: int) -> None:
        """The tokens from `first` up to `last` were understood."""
        for token in self.tokens[start_index:end_index]:
            token.used = True

    def add_note(self, start_index: int, end_index: int) -> None:
        """The tokens from `first` up to `last` say something that changes nothing."""
        if end_index > start_index:
            self.mark_used(start_index, end_index)
            start, end = self.tokens[start_index].start, self.tokens[end_index - 1].end
            self.fields.notes.append(Spanned(self.source.raw[start:end], start, end))

    def find_run_end(self, start: int) -> int:
        """Where the unbroken run of characters that begins at `start` ends, or how much of it is enough to show."""
        run = _UNBROKEN_RUN.match(self.source.clean, start)
        return run.end() if run else start
