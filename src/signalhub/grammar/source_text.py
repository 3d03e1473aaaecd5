"""A text as it was sent, and its cleaned copy of the same length, so that a position is valid in both.

To clean is to replace each character outside ASCII by one character. NFKC alone would change lengths (`½` becomes
three characters) and turn list markers into digits, so the Unicode category decides first. A character without a safe
replacement stays, and makes unreadable the word or price that it is glued to.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from signalhub.domain.errors import GrammarErrorCode, Problem
from signalhub.grammar.results import Ignored

# Every alternative begins with a plain character: then `re` skips all others without trying to match.
_LINE_END: Final = re.compile("\r\n?|\n|\u2028|\u2029")


class SourceText:
    """`raw` is quoted in answers, `clean` is parsed. Both have the same length."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.clean = clean_text(raw)
        self._line_starts: list[int] | None = None

    @property
    def line_starts(self) -> list[int]:
        # Computed on first use: only problems and parts need lines.
        if self._line_starts is None:
            self._line_starts = [0, *[line_end.end() for line_end in _LINE_END.finditer(self.raw)]]
        return self._line_starts

    def locate(self, start: int) -> tuple[int, int]:
        """Return line and column of the character at index `start`, both counted from 1."""
        starts = self.line_starts
        line = bisect_right(starts, start)
        return line, start - starts[line - 1] + 1

    def build_ignored(self, start: int, end: int, reason: str) -> Ignored:
        line, column = self.locate(start)
        return Ignored(line, column, end - start, start, self.raw[start:end], reason)

    def build_problem(self, code: GrammarErrorCode, hint: str, start: int = 0, end: int = 0) -> Problem:
        line, column = self.locate(start)
        return Problem(code=code, line=line, column=column, length=end - start, text=self.raw[start:end], hint=hint)


CONTROL_CHARS: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffd\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that nobody types: C0 and C1 controls, bidirectional overrides, tags, remains of a broken decoding."""

_INVISIBLE_CHARS: Final = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff"
HIDDEN_CHARS: Final = re.compile(f"(?<=[A-Za-z0-9.,])[{_INVISIBLE_CHARS}]+(?=[A-Za-z0-9.,])")
"""Invisible characters between letters or digits: the text on the screen and the text parsed would differ."""

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
    "\u2139": " ",  # the emoji for information, which NFKC turns into the letter i
    "\u00a9": "!",  # ends a list of prices: the number that follows is a year
    "\u00ae": "!",
    "\u2212": "\u2212",  # the minus sign stays: as a hyphen it would join, and here it refuses the price it precedes
}

# Dashes become a hyphen, currency signs a dollar; symbols, format characters and unassigned ones are decoration.
_CATEGORY_REPLACEMENTS: Final = {"Pd": "-", "Sc": "$", "So": " ", "Sk": " ", "Cf": " ", "Cn": " ", "Co": " "}


def _fold_to_ascii(char: str) -> str | None:
    """Return the ASCII character that NFKC turns `char` into, or None if it is not exactly one."""
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 and folded.isascii() else None


def _find_replacement(char: str) -> str:
    if char in _REPLACEMENTS:
        return _REPLACEMENTS[char]
    category = unicodedata.category(char)
    if category == "No":
        decomposition = unicodedata.decomposition(char)
        if decomposition.startswith("<super>"):
            return _fold_to_ascii(char) or char
        # A circled number is a list marker. A fraction, or the subscript in `0.0₅1`, cannot be read safely: it stays.
        return char if decomposition.startswith(("<fraction>", "<sub>")) else " "
    if category in _CATEGORY_REPLACEMENTS:
        return _CATEGORY_REPLACEMENTS[category]
    if "\ufe00" <= char <= "\ufe0f" or char == "\u034f" or category[0] == "Z":
        return " "
    return _fold_to_ascii(char) or (char if category[0] in "LMN" else " ")


class _ReplacementCache(dict[int, str]):
    """Replacements computed so far, in the form that `str.translate` takes. Bounded: senders choose the characters."""

    def __missing__(self, code: int) -> str:
        replacement = _find_replacement(chr(code))
        if len(self) < 8192:  # noqa: PLR2004
            self[code] = replacement
        return replacement


def mask_with(char: str) -> Callable[[re.Match[str]], str]:
    """Return a function for `re.sub` that replaces a match by as many `char`."""
    return lambda match: char * len(match[0])


_mask_with_blanks: Final = mask_with(" ")
# A foreign letter: glued to a price it makes the price unreadable.
_mask_raised_digits: Final = mask_with("\u02c0")
# A character outside every script: the link becomes one word that has no meaning.
_mask_link: Final = mask_with("\uffff")

_REPLACEMENT_CACHE: Final = _ReplacementCache({code: chr(code) for code in range(128)})
_NON_ASCII: Final = re.compile("[^\x00-\x7f]")
_MAX_REPLACE_CALLS: Final = 24
_MARKDOWN: Final = str.maketrans("*`", "  ")
_KEYCAP: Final = re.compile("[0-9#*][\ufe0e\ufe0f]?\u20e3")
_RAISED_DIGITS: Final = re.compile("(?<=[0-9])[\u00b2\u00b3\u00b9\u2070\u2074-\u2079]+")
"""Superscripts after a digit: a power or a footnote, never one more digit."""
_EMOJI_CODE: Final = re.compile(r":[a-z][a-z0-9_+-]{2,40}:", re.ASCII)
_LINK: Final = re.compile(r"(?:https?://|www\.|t\.me/)[^ \t\r\n]+", re.ASCII | re.IGNORECASE)


def clean_text(text: str) -> str:
    """Return the copy that is parsed, of the same length as `text`."""
    if not text.isascii():
        text = _RAISED_DIGITS.sub(_mask_raised_digits, _KEYCAP.sub(_mask_with_blanks, text))
        foreign_chars = set(_NON_ASCII.findall(text))
        # Most messages have few different foreign characters, and for those `replace` is faster than `translate`.
        if len(foreign_chars) > _MAX_REPLACE_CALLS:
            text = text.translate(_REPLACEMENT_CACHE)
        else:
            for char in foreign_chars:
                text = text.replace(char, _REPLACEMENT_CACHE[ord(char)])
    # The substring tests spare most texts the slower patterns.
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
    """Return the ASCII word that `word` looks like, or None if a letter of it resembles no Latin one."""
    folded = word.translate(_HOMOGLYPHS)
    return folded if folded.isascii() and folded != word else None
