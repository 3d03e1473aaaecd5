"""Split the cleaned text into tokens with their positions, and merge each phrase of the vocabulary into one token.

One `findall` splits the whole text, and positions are added up from the lengths of the pieces: a match object for
each token would cost more than the rest of the lexer.
"""

import re
from typing import Final

import msgspec

from signalhub.grammar.vocabulary import PHRASE_TRIE, SINGLE_WORD_KINDS, PhraseNode, TokenKind


class Token(msgspec.Struct, gc=False):
    """A word or phrase (in capitals), a number, a mark or the end of a line. A rule that reads it sets `used`."""

    kind: str
    start: int
    end: int
    text: str
    used: bool = False


# First group: a word, a number, line ends or a mark. Second group: the blanks that follow.
_TOKEN_PATTERN: Final = re.compile(
    r"([A-Za-z\x80-\u2211\u2213-\U0010ffff]+|[0-9]+(?:[.,'][0-9]+)*|[\r\n][\r\n\t ]*|[^ \t])([ \t]*)"
)
_PHRASE_JOINERS: Final = frozenset("-/._:'")
_PHRASE_GAP_LIMIT_CHARS: Final = 4
"""Words of a phrase stand closer than this: room for `S / L`, not for two columns of a table."""

_KIND_BY_FIRST_CHAR: Final = (
    dict.fromkeys("0123456789", TokenKind.NUMBER)
    | dict.fromkeys("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", TokenKind.WORD)
    | {"\n": TokenKind.NEWLINE, "\r": TokenKind.NEWLINE}
    | {chr(code): TokenKind.MARK for code in range(33, 127) if not chr(code).isalnum()}
    | {"\u2212": TokenKind.MARK}
)


def tokenize(clean: str) -> list[Token]:
    tokens: list[Token] = []
    # Local names, because this loop runs for every token of every text that the fast path does not take.
    append, word_kind, number_kind = tokens.append, TokenKind.WORD, TokenKind.NUMBER
    start = len(clean) - len(clean.lstrip(" \t"))
    node: PhraseNode | None = None  # of the phrase that the last words may have begun
    phrase_index = 0  # of the token which that phrase begins with
    for text, blanks in _TOKEN_PATTERN.findall(clean):
        end = start + len(text)
        kind = _KIND_BY_FIRST_CHAR.get(text[0], word_kind)
        if kind == word_kind:
            # Foreign letters can have ASCII capitals (the dotless i), so such words are not looked up.
            word = text.upper() if text.isascii() else text
            if node is None and word not in PHRASE_TRIE:
                append(Token(kind, start, end, word))
            else:
                token = Token(SINGLE_WORD_KINDS.get(word, kind), start, end, word)
                node, phrase_index = _append_word(tokens, token, node, phrase_index)
        elif kind != number_kind:
            if node is not None and (text not in _PHRASE_JOINERS or tokens[-1].kind == TokenKind.MARK):
                node = None
            append(Token(kind, start, end, text))
        else:
            node = None
            if "," in text:
                tokens.extend(split_price_list(text, start))
            elif tokens and tokens[-1].text == ".":
                _append_after_point(tokens, start, text)
            else:
                append(Token(kind, start, end, text))
        start = end + len(blanks)
    return tokens


def _append_word(
    tokens: list[Token], token: Token, node: PhraseNode | None, phrase_index: int
) -> tuple[PhraseNode | None, int]:
    """Append a word, or merge it into the phrase it continues; return the phrase that the next word may continue."""
    if node is not None and token.start - tokens[-1].end < _PHRASE_GAP_LIMIT_CHARS:
        longer = node.children.get(token.text)
        if longer is not None:
            if longer.kind is None:
                tokens.append(token)  # no phrase ends here: if none ends later either, these stay words
            else:
                del tokens[phrase_index + 1 :]
                tokens[phrase_index].kind = longer.kind
                tokens[phrase_index].end = token.end
            return (longer if longer.children else None), phrase_index
    tokens.append(token)
    first_node = PHRASE_TRIE.get(token.text)
    if first_node is None or not first_node.children:
        return None, 0
    token.kind = first_node.kind or TokenKind.WORD
    return first_node, len(tokens) - 1


def _append_after_point(tokens: list[Token], start: int, digits: str) -> None:
    """Append a number that follows a point, as one token with the point if that begins the number, as in `@.1520`."""
    point = tokens[-1]
    before = tokens[-2] if len(tokens) > 1 and tokens[-2].end == point.start else None
    # In `Sl.1520` and `1..1520` the point separates, and the number is what follows it.
    begins_number = before is None or (before.kind == TokenKind.MARK and before.text not in ".,")
    if point.end == start and digits.isdigit() and begins_number:
        point.kind, point.end, point.text = TokenKind.NUMBER, start + len(digits), "." + digits
    else:
        tokens.append(Token(TokenKind.NUMBER, start, start + len(digits), digits))


def split_price_list(text: str, start: int) -> list[Token]:
    """Split `42.20,43.00` into two numbers. `42,000` stays one: the lexer cannot tell thousands from a list."""
    pieces = text.split(",")
    if not all("." in piece for piece in pieces):
        return [Token(TokenKind.NUMBER, start, start + len(text), text)]
    tokens: list[Token] = []
    for piece in pieces:
        if tokens:
            tokens.append(Token(TokenKind.MARK, start - 1, start, ","))
        tokens.append(Token(TokenKind.NUMBER, start, start + len(piece), piece))
        start += len(piece) + 1
    return tokens
