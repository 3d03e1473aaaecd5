"""From the cleaned text to tokens with their places, phrases of the vocabulary merged into one token.

Linear, and quick: one `findall` splits the whole text, and places are counted up from the lengths of the pieces.
"""

import re
from typing import Final

import msgspec

from signalhub.grammar.vocabulary import MEANINGS, SINGLE, Branch, Kind


class Token(msgspec.Struct, gc=False):
    """A word or phrase (in capitals), a number, a mark or the end of a line. `used` once a rule has understood it."""

    kind: str
    start: int
    end: int
    text: str
    used: bool = False


_PIECE: Final = re.compile(
    r"([A-Za-z\x80-\u2211\u2213-\U0010ffff]+|[0-9]+(?:[.,'][0-9]+)*|[\r\n][\r\n\t ]*|[^ \t])([ \t]*)"
)
"""A word, a number, ends of lines or a mark; and the blanks behind it."""

_JOINTS: Final = frozenset("-/._:'")
_WIDEST_JOINT: Final = 4
_BY_FIRST: Final = (
    dict.fromkeys("0123456789", Kind.NUMBER)
    | dict.fromkeys("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Kind.WORD)
    | {"\n": Kind.NEWLINE, "\r": Kind.NEWLINE}
    | {chr(code): Kind.MARK for code in range(33, 127) if not chr(code).isalnum()}
    | {"\u2212": Kind.MARK}
)


def scan(clean: str) -> list[Token]:
    tokens: list[Token] = []
    append, word_kind, number_kind = tokens.append, Kind.WORD, Kind.NUMBER
    start = len(clean) - len(clean.lstrip(" \t"))
    branch: Branch | None = None  # the phrase the last words may have begun
    first = 0  # and the token it began with
    for text, gap in _PIECE.findall(clean):
        end = start + len(text)
        kind = _BY_FIRST.get(text[0], word_kind)
        if kind == word_kind:
            # Capitals of foreign letters can be ASCII, so those are never looked up.
            word = text.upper() if text.isascii() else text
            if branch is None and word not in MEANINGS:
                append(Token(kind, start, end, word))
            else:
                branch, first = _word(tokens, Token(SINGLE.get(word, kind), start, end, word), branch, first)
        elif kind != number_kind:
            if branch is not None and (text not in _JOINTS or tokens[-1].kind == Kind.MARK):
                branch = None
            append(Token(kind, start, end, text))
        else:
            branch = None
            if "," in text or (tokens and tokens[-1].text == "."):
                _number(tokens, start, text)
            else:
                append(Token(kind, start, end, text))
        start = end + len(gap)
    return tokens


def _word(tokens: list[Token], token: Token, branch: Branch | None, first: int) -> tuple[Branch | None, int]:
    """Append a word, or merge it with the words before it; give the phrase that may go on behind it."""
    if branch is not None and token.start - tokens[-1].end < _WIDEST_JOINT:
        longer = branch.then.get(token.text)
        if longer is not None:
            return _longer(tokens, token, longer, first)
    meaning = MEANINGS.get(token.text)
    tokens.append(token)
    if meaning is None or not meaning.then:
        return None, 0
    token.kind = meaning.kind or Kind.WORD
    return meaning, len(tokens) - 1


def _longer(tokens: list[Token], token: Token, branch: Branch, first: int) -> tuple[Branch | None, int]:
    """The phrase goes on: if it means something as far as it has come, it becomes one token."""
    if branch.kind is not None:
        del tokens[first + 1 :]
        tokens[first].kind = branch.kind
        tokens[first].end = token.end
    else:
        tokens.append(token)
    return (branch if branch.then else None), first


def _number(tokens: list[Token], start: int, text: str) -> None:
    if "," in text:
        tokens.extend(_apart(text, start))
        return
    point = tokens[-1] if tokens else None
    if point is not None and point.text == "." and point.end == start and text.isdigit() and _leads(tokens):
        point.kind, point.end, point.text = Kind.NUMBER, start + len(text), "." + text
    else:
        tokens.append(Token(Kind.NUMBER, start, start + len(text), text))


def _leads(tokens: list[Token]) -> bool:
    """Whether the point stands before a number, as in `@.1520`, and not between a label and one, as in `Sl.1520`."""
    if len(tokens) < 2 or tokens[-2].end != tokens[-1].start:  # noqa: PLR2004
        return True
    return tokens[-2].kind == Kind.MARK and tokens[-2].text not in ".,"


def _apart(text: str, start: int) -> list[Token]:
    """`42.20,43.00` is two numbers; of `42,000` that cannot be said here."""
    pieces = text.split(",")
    if not all("." in piece for piece in pieces):
        return [Token(Kind.NUMBER, start, start + len(text), text)]
    tokens: list[Token] = []
    for piece in pieces:
        if tokens:
            tokens.append(Token(Kind.MARK, start - 1, start, ","))
        tokens.append(Token(Kind.NUMBER, start, start + len(piece), piece))
        start += len(piece) + 1
    return tokens
