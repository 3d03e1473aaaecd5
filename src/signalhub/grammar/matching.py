"""Input and output of the matchers: the tokens of a text, and what was read at one of them.

A matcher takes a `TokenizedText` and the index of a token, and changes neither. It returns the index after what it
recognised, or a match with all that it read, which a rule hands to `ParserState.apply`.
"""

import re
from typing import Final

import msgspec

from signalhub.grammar.lexer import Token, tokenize
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import ProblemArguments
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
        """Whether the text has more than 128 words and numbers of fewer than 3.5 characters on average.

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
