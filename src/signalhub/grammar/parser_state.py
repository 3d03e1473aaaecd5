"""The three parts of matching: the tokens of a text, what was read at one of them, and the state between two of them.

A matcher takes a `TokenizedText` and the index of a token, and changes neither. It returns the index after what it
recognised, or a match with all that it read. Only rules and `whole_text` change the `ParserState`. A rule gets the
index of a token and returns a higher one, which keeps parsing linear.
"""

import re
from typing import Final

import msgspec

from signalhub.grammar.lexer import Token, tokenize
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import ParsedFields, ProblemArguments, Spanned, SymbolMatch
from signalhub.grammar.source_text import SourceText
from signalhub.grammar.vocabulary import TokenKind

_LOOKAHEAD_TOKENS: Final = 8
_MIN_FRAGMENTED_TOKENS: Final = 128
_MIN_MEAN_TOKEN_CHARS: Final = 3.5
_SEPARATOR_KINDS: Final = frozenset({TokenKind.MARK, TokenKind.NEWLINE})
_UNBROKEN_RUN: Final = re.compile(r"[^ \t\r\n]{1,100}")


class TokenizedText(msgspec.Struct, frozen=True, gc=False):
    """The source text and its tokens. `token_count` leaves out the line ends that pad the list."""

    source: SourceText
    tokens: list[Token]
    token_count: int

    @classmethod
    def from_source(cls, source: SourceText) -> "TokenizedText":
        tokens = tokenize(source.clean)
        count, end = len(tokens), len(source.clean)
        # Matchers look a few tokens ahead, and one back at index -1: the padding spares them every bounds check.
        tokens.extend([Token(TokenKind.NEWLINE, end, end, "")] * _LOOKAHEAD_TOKENS)
        return cls(source, tokens, count)

    @property
    def is_fragmented(self) -> bool:
        """Whether the text has more than 128 words and numbers, and fewer than 3.5 characters for each of them.

        Signals written by people have at most 70 words and numbers, of twice that length. Parsing costs time for each
        token, and this bounds the time by the length of the text.
        """
        if self.token_count <= _MIN_FRAGMENTED_TOKENS:
            return False
        count = sum([token.kind not in _SEPARATOR_KINDS for token in self.tokens])
        return count > _MIN_FRAGMENTED_TOKENS and len(self.source.clean) < _MIN_MEAN_TOKEN_CHARS * count

    def starts_line(self, index: int) -> bool:
        """Whether only marks precede the token on its line."""
        while index > 0 and self.tokens[index - 1].kind == TokenKind.MARK:
            index -= 1
        return index == 0 or self.tokens[index - 1].kind == TokenKind.NEWLINE

    def is_adjacent(self, index: int) -> bool:
        """Whether the token follows the one before it without a gap."""
        return index > 0 and self.tokens[index].start == self.tokens[index - 1].end

    def find_run_end(self, start: int) -> int:
        """Return the end of the characters without a blank that begin at `start`, or of the first 100 of them."""
        run = _UNBROKEN_RUN.match(self.source.clean, start)
        return run.end() if run else start

    def find_line_start(self, position: int) -> int:
        """Return the start of the line of a character."""
        return self.source.clean.rfind("\n", 0, position) + 1

    def find_line_end(self, position: int) -> int:
        """Return the position of the next line feed, or the length of the text."""
        end = self.source.clean.find("\n", position)
        return len(self.source.clean) if end < 0 else end


class Match(msgspec.Struct, gc=False):
    """What a matcher read: prices, and what else has to be recorded about the tokens.

    `levels_end` is the position after the last price, readable or not. `used` holds indexes of tokens, `notes` pairs of
    first index and end index.
    """

    end_index: int
    numbers: list[Number] = []
    levels_end: int = 0
    used: list[int] = []
    notes: list[tuple[int, int]] = []
    problems: list[ProblemArguments] = []


class ParserState:
    """`expects_entry`: a number without a label would be the entry; `in_target_list`: it would be a take profit."""

    def __init__(self, text: TokenizedText, fields: ParsedFields) -> None:
        self.text = text
        self.tokens = text.tokens
        self.fields = fields
        # The context of the next token.
        self.expects_entry = False
        self.in_target_list = False
        self.labelled_symbol_index = -1
        # Where the signal is in the text: text before the start and after the end is ignored.
        self.signal_start = -1
        self.signal_end = 0
        # What `whole_text` and `non_orders` decide on when the whole text is read.
        self.announced_entry: Spanned[str] | None = None  # a word such as `from` that announced an entry
        self.side_indexes: list[int] = []
        self.restart_indexes: list[int] = []  # sides and symbols after a complete signal
        self.remark_indexes: list[int] = []  # words about open trades, negations, conditions
        self.tagged_symbols: list[SymbolMatch] = []
        self.labelled_symbols: list[SymbolMatch] = []
        self.unexplained_numbers: list[Number] = []
        self.header_note_numbers: list[Number] = []

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

    def apply(self, match: Match) -> None:
        """Record the used tokens, notes, problems and end of a match. The caller adds its prices to a field."""
        for index in match.used:
            self.tokens[index].used = True
        for start_index, end_index in match.notes:
            self.add_note(start_index, end_index)
        for problem in match.problems:
            self.fields.add_problem(*problem)
        self.signal_end = max(self.signal_end, match.levels_end)

    def apply_symbol(self, symbol: SymbolMatch) -> None:
        """Record what a symbol match found besides the symbol. The caller decides where the symbol belongs."""
        if symbol.exchange_index >= 0:
            self.tokens[symbol.exchange_index].used = True
        for problem in symbol.problems:
            self.fields.add_problem(*problem)

    def mark_signal_start(self, token: Token) -> None:
        """Start the signal at this token, if it has not started."""
        if self.signal_start < 0:
            self.signal_start = token.start

    def mark_used(self, start_index: int, end_index: int) -> None:
        for token in self.tokens[start_index:end_index]:
            token.used = True

    def add_note(self, start_index: int, end_index: int) -> None:
        """Record tokens that say something which does not change the order."""
        if end_index > start_index:
            self.mark_used(start_index, end_index)
            start, end = self.tokens[start_index].start, self.tokens[end_index - 1].end
            self.fields.notes.append(Spanned(self.text.source.raw[start:end], start, end))
