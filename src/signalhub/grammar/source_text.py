"""A text as it was sent and the copy that is read, character for character beside each other.

What each character outside ASCII counts as, one for one, so that a position in the copy is one in the text.

NFKC alone would change lengths (`½` becomes three characters) and invent digits out of list markers, so the table asks
for the category first. A character that must not be read as anything stays what it is: the scanner knows it as alien.
"""

import re
import unicodedata
from bisect import bisect_right
from typing import Final

from signalhub.domain.errors import Problem
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


CONTROL_CHARS: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffd\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters no trader typed: C0 and C1 controls, bidi overrides, tags, the sign of a broken decoding."""

_INVISIBLE_CHARS: Final = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff"
HIDDEN_CHARS: Final = re.compile(f"(?<=[A-Za-z0-9.,])[{_INVISIBLE_CHARS}]+(?=[A-Za-z0-9.,])")
"""Something invisible between letters or digits: the reader of the screen and the parser would see different words."""

KEYCAP: Final = re.compile("[0-9#*][\ufe0e\ufe0f]?\u20e3")

_REPLACEMENTS: Final = {
    "\u2028": "\n",
    "\u2029": "\n",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2026": ".",
    "\u3001": ",",
    "\u3002": ".",
    "\u00d7": "x",
    "\u2044": "/",
    "\u2139": " ",  # the emoji for information, which NFKC reads as the letter i
    "\u00a9": "!",  # ends a list of prices: the number behind it is a year
    "\u00ae": "!",
    "\u2212": "\u2212",  # a minus is a minus: it refuses the price it precedes
}

# Categories: separators and symbols are decoration, dashes join, currency signs are one sign.
_CATEGORY_REPLACEMENTS: Final = {"Pd": "-", "Sc": "$", "So": " ", "Sk": " ", "Cf": " ", "Cn": " ", "Co": " "}


def _fold_to_ascii(char: str) -> str | None:
    """The ASCII character NFKC makes of `char`, if it makes exactly one."""
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 and folded.isascii() else None


def _replace_number(char: str) -> str:
    """A superscript is a digit, a circled figure a list marker; a fraction and `0.0\u20851` nothing we can read."""
    form = unicodedata.decomposition(char)
    if form.startswith("<super>"):
        return _fold_to_ascii(char) or char
    return char if form.startswith(("<fraction>", "<sub>")) else " "


def _find_replacement(char: str) -> str:
    if char in _REPLACEMENTS:
        return _REPLACEMENTS[char]
    category = unicodedata.category(char)
    if category == "No":
        return _replace_number(char)
    if category in _CATEGORY_REPLACEMENTS:
        return _CATEGORY_REPLACEMENTS[category]
    if "\ufe00" <= char <= "\ufe0f" or char == "\u034f" or category[0] == "Z":
        return " "
    if category[0] in "LMN":
        return _fold_to_ascii(char) or char
    return _fold_to_ascii(char) or " "


class _ReplacementCache(dict[int, str]):
    """The readings met so far. Bounded, because senders choose the characters."""

    def __missing__(self, code: int) -> str:
        reading = _find_replacement(chr(code))
        if len(self) < 8192:  # noqa: PLR2004
            self[code] = reading
        return reading


_REPLACEMENT_CACHE: Final = _ReplacementCache({code: chr(code) for code in range(128)})
_NON_ASCII: Final = re.compile("[^\x00-\x7f]")
_MAX_REPLACE_CALLS: Final = 24
_MARKDOWN: Final = str.maketrans("*`", "  ")


def _mask_with_blanks(match: re.Match[str]) -> str:
    return " " * len(match[0])


_RAISED_DIGITS: Final = re.compile("(?<=[0-9])[\u00b2\u00b3\u00b9\u2070\u2074-\u2079]+")
"""A superscript behind a digit: a power or a footnote, never one more digit."""


def _mask_raised_digits(match: re.Match[str]) -> str:
    """A foreign letter: glued to a price it makes the price unreadable."""
    return "\u02c0" * len(match[0])


_EMOJI_CODE: Final = re.compile(r":[a-z][a-z0-9_+-]{2,40}:", re.ASCII)
_LINK: Final = re.compile(r"(?:https?://|www\.|t\.me/)[^ \t\r\n]+", re.ASCII | re.IGNORECASE)


def _mask_link(match: re.Match[str]) -> str:
    """A word of the same length that means nothing in any language."""
    return "\uffff" * len(match[0])


def _replace_non_ascii(text: str) -> str:
    """Every foreign character replaced by its reading. A message has few different ones, and `replace` is quick."""
    foreign = set(_NON_ASCII.findall(text))
    if len(foreign) > _MAX_REPLACE_CALLS:
        return text.translate(_REPLACEMENT_CACHE)
    for char in foreign:
        text = text.replace(char, _REPLACEMENT_CACHE[ord(char)])
    return text


def clean_text(text: str) -> str:
    """The copy that is parsed, of the same length as `text`. The substring tests spare most texts the patterns."""
    if not text.isascii():
        text = _replace_non_ascii(_RAISED_DIGITS.sub(_mask_raised_digits, KEYCAP.sub(_mask_with_blanks, text)))
    if ":" in text:
        text = _EMOJI_CODE.sub(_mask_with_blanks, text)
    if "://" in text or "www." in text or "t.me/" in text:
        text = _LINK.sub(_mask_link, text)
    return text.translate(_MARKDOWN) if "*" in text or "`" in text else text


_HOMOGLYPHS: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХавеѕіјкмнорстухҺһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορτυχ",
    "ABESIJKMHOPCTYXabesijkmhopctyxHhdqwABEZHIKMNOPTYXaikvoptux",
)


def resolve_homoglyphs(word: str) -> str | None:
    """The ASCII word that `word` looks like, if every foreign letter in it is a look-alike."""
    folded = word.translate(_HOMOGLYPHS)
    return folded if folded.isascii() and folded != word else None
