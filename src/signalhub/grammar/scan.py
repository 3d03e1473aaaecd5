"""From the cleaned text to tokens with their places. Linear: every pattern here is anchored and bounded."""

import re
from typing import Final

import msgspec

from signalhub.grammar.vocabulary import MEANINGS, Kind


class Token(msgspec.Struct, gc=False):
    """A word or phrase (in capitals), a number, a mark or the end of a line."""

    kind: Kind
    start: int
    end: int
    text: str


_TOKEN: Final = re.compile(
    r"""([A-Za-z\x80-\u2211\u2213-\U0010ffff]+(?:'[A-Za-z]+)?)
    |([0-9]+(?:[.,'][0-9]+)*|(?<![\w.,])\.[0-9]+(?![.,]?[0-9]))
    |([\r\n][\r\n\t ]*)
    |(:[a-z][a-z0-9_+-]{2,40}:)
    |([^ \t\r\n])""",
    re.VERBOSE,
)
_WORD, _NUMBER, _NEWLINE, _EMOJI_CODE = 1, 2, 3, 4
_KINDS: Final = (Kind.MARK, Kind.WORD, Kind.NUMBER, Kind.NEWLINE, Kind.LINK, Kind.MARK)
_LINK: Final = re.compile(r"(?:https?://|www\.|t\.me/)[^ \t\r\n]*", re.ASCII | re.IGNORECASE)
_LINK_WORDS: Final = frozenset({"HTTP", "HTTPS", "WWW", "T"})


def scan(clean: str) -> list[Token]:
    tokens: list[Token] = []
    resume = 0  # a phrase or a link reaches over the tokens it is made of
    for match in _TOKEN.finditer(clean):
        start, end = match.span()
        if start < resume:
            continue
        index = match.lastindex or 0
        if index == _WORD:
            token = _word(clean, start, end)
            resume = token.end
            tokens.append(token)
        elif index == _NUMBER and "," in match[0]:
            tokens.extend(_apart(match[0], start))
        else:
            tokens.append(Token(_KINDS[index], start, end, match[0]))
    return tokens


def _word(clean: str, start: int, end: int) -> Token:
    text = clean[start:end]
    if not text.isascii():
        return Token(Kind.WORD, start, end, text)  # capitals of foreign letters can be ASCII: never look those up
    text = text.upper()
    branch = MEANINGS.get(text)
    if branch is not None:
        kind, end = branch.longest(clean, end) if branch.then else (branch.kind, end)
        return Token(kind or Kind.WORD, start, end, text)
    if text in _LINK_WORDS and (link := _LINK.match(clean, start)):
        return Token(Kind.LINK, start, link.end(), link[0])
    return Token(Kind.WORD, start, end, text)


def _apart(text: str, start: int) -> list[Token]:
    """`42.20,43.00` is two numbers; of `42,000` that cannot be said here."""
    pieces = text.split(",")
    if not all("." in piece for piece in pieces):
        return [Token(Kind.NUMBER, start, start + len(text), text)]
    tokens = []
    for piece in pieces:
        if tokens:
            tokens.append(Token(Kind.MARK, start - 1, start, ","))
        tokens.append(Token(Kind.NUMBER, start, start + len(piece), piece))
        start += len(piece) + 1
    return tokens
