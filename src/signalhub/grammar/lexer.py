"""From the cleaned text to tokens with their places, phrases of the vocabulary merged into one token.

Linear, and quick: one `findall` splits the whole text, and places are counted up from the lengths of the pieces.
"""

import re
from typing import Final

import msgspec

from signalhub.grammar.vocabulary import PHRASE_TRIE, SINGLE_WORD_KINDS, PhraseNode, TokenKind


class Token(msgspec.Struct, gc=False):
    """A word or phrase (in capitals), a number, a mark or the end of a line. `used` once a rule has understood it."""

    kind: str
    start: int
    end: int
    text: str
    used: bool = False


_TOKEN_PATTERN: Final = re.compile(
    r"([A-Za-z\x80-\u2211\u2213-\U0010ffff]+|[0-9]+(?:[.,'][0-9]+)*|[\r\n][\r\n\t ]*|[^ \t])([ \t]*)"
)
"""A word, a number, ends of lines or a mark; and the blanks behind it."""

_PHRASE_JOINERS: Final = frozenset("-/._:'")
_PHRASE_GAP_LIMIT_CHARS: Final = 4
_KIND_BY_FIRST_CHAR: Final = (
    dict.fromkeys("0123456789", TokenKind.NUMBER)
    | dict.fromkeys("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", TokenKind.WORD)
    | {"\n": TokenKind.NEWLINE, "\r": TokenKind.NEWLINE}
    | {chr(code): TokenKind.MARK for code in range(33, 127) if not chr(code).isalnum()}
    | {"\u2212": TokenKind.MARK}
)


def tokenize(clean: str) -> list[Token]:
    tokens: list[Token] = []
    append, word_kind, number_kind = tokens.append, TokenKind.WORD, TokenKind.NUMBER
    start = len(clean) - len(clean.lstrip(" \t"))
    branch: PhraseNode | None = None  # the phrase the last words may have begun
    first = 0  # and the token it began with
    for text, gap in _TOKEN_PATTERN.findall(clean):
        end = start + len(text)
        kind = _KIND_BY_FIRST_CHAR.get(text[0], word_kind)
        if kind == word_kind:
            # Capitals of foreign letters can be ASCII, so those are never looked up.
            word = text.upper() if text.isascii() else text
            if branch is None and word not in PHRASE_TRIE:
                append(Token(kind, start, end, word))
            else:
                branch, first = _append_word(
                    tokens, Token(SINGLE_WORD_KINDS.get(word, kind), start, end, word), branch, first
                )
        elif kind != number_kind:
            if branch is not None and (text not in _PHRASE_JOINERS or tokens[-1].kind == TokenKind.MARK):
                branch = None
            append(Token(kind, start, end, text))
        else:
            branch = None
            if "," in text or (tokens and tokens[-1].text == "."):
                _append_number(tokens, start, text)
            else:
                append(Token(kind, start, end, text))
        start = end + len(gap)
    return tokens


def _append_word(
    tokens: list[Token], token: Token, node: PhraseNode | None, phrase_index: int
) -> tuple[PhraseNode | None, int]:
    """Append a word, or merge it with the words before it; give the phrase that may go on behind it."""
    if node is not None and token.start - tokens[-1].end < _PHRASE_GAP_LIMIT_CHARS:
        longer = node.children.get(token.text)
        if longer is not None:
            return _extend_phrase(tokens, token, longer, phrase_index)
    meaning = PHRASE_TRIE.get(token.text)
    tokens.append(token)
    if meaning is None or not meaning.children:
        return None, 0
    token.kind = meaning.kind or TokenKind.WORD
    return meaning, len(tokens) - 1


def _extend_phrase(
    tokens: list[Token], token: Token, node: PhraseNode, phrase_index: int
) -> tuple[PhraseNode | None, int]:
    """The phrase goes on: if it means something as far as it has come, it becomes one token."""
    if node.kind is not None:
        del tokens[phrase_index + 1 :]
        tokens[phrase_index].kind = node.kind
        tokens[phrase_index].end = token.end
    else:
        tokens.append(token)
    return (node if node.children else None), phrase_index


def _append_number(tokens: list[Token], start: int, text: str) -> None:
    if "," in text:
        tokens.extend(_split_price_list(text, start))
        return
    point = tokens[-1] if tokens else None
    if point is not None and point.text == "." and point.end == start and text.isdigit() and _is_leading_point(tokens):
        point.kind, point.end, point.text = TokenKind.NUMBER, start + len(text), "." + text
    else:
        tokens.append(Token(TokenKind.NUMBER, start, start + len(text), text))


def _is_leading_point(tokens: list[Token]) -> bool:
    """Whether the point stands before a number, as in `@.1520`, and not between a label and one, as in `Sl.1520`."""
    if len(tokens) < 2 or tokens[-2].end != tokens[-1].start:  # noqa: PLR2004
        return True
    return tokens[-2].kind == TokenKind.MARK and tokens[-2].text not in ".,"


def _split_price_list(text: str, start: int) -> list[Token]:
    """`42.20,43.00` is two numbers; of `42,000` that cannot be said here."""
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
