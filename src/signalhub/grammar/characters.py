"""What each character outside ASCII counts as, one for one, so that a position in the copy is one in the text.

NFKC alone would change lengths (`½` becomes three characters) and invent digits out of list markers, so the table asks
for the category first. A character that must not be read as anything stays what it is: the scanner knows it as alien.
"""

import re
import unicodedata
from typing import Final

CONTROL: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffd\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters no trader typed: C0 and C1 controls, bidi overrides, tags, the sign of a broken decoding."""

_INVISIBLE: Final = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff"
HIDDEN: Final = re.compile(f"(?<=[A-Za-z0-9.,])[{_INVISIBLE}]+(?=[A-Za-z0-9.,])")
"""Something invisible between letters or digits: the reader of the screen and the parser would see different words."""

KEYCAP: Final = re.compile("[0-9#*][\ufe0e\ufe0f]?\u20e3")

_PLAIN: Final = {
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
_BY_CATEGORY: Final = {"Pd": "-", "Sc": "$", "So": " ", "Sk": " ", "Cf": " ", "Cn": " ", "Co": " "}


def _folded(char: str) -> str | None:
    """The ASCII character NFKC makes of `char`, if it makes exactly one."""
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 and folded.isascii() else None


def _number(char: str) -> str:
    """A superscript is a digit, a circled figure a list marker; a fraction and `0.0\u20851` nothing we can read."""
    form = unicodedata.decomposition(char)
    if form.startswith("<super>"):
        return _folded(char) or char
    return char if form.startswith(("<fraction>", "<sub>")) else " "


def _reading(char: str) -> str:
    if char in _PLAIN:
        return _PLAIN[char]
    category = unicodedata.category(char)
    if category == "No":
        return _number(char)
    if category in _BY_CATEGORY:
        return _BY_CATEGORY[category]
    if "\ufe00" <= char <= "\ufe0f" or char == "\u034f" or category[0] == "Z":
        return " "
    if category[0] in "LMN":
        return _folded(char) or char
    return _folded(char) or " "


class _Readings(dict[int, str]):
    """The readings met so far. Bounded, because senders choose the characters."""

    def __missing__(self, code: int) -> str:
        reading = _reading(chr(code))
        if len(self) < 8192:  # noqa: PLR2004
            self[code] = reading
        return reading


_READINGS: Final = _Readings({code: chr(code) for code in range(128)})
_FOREIGN: Final = re.compile("[^\x00-\x7f]")
_MANY: Final = 24
_MARKDOWN: Final = str.maketrans("*`", "  ")


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


_RAISED: Final = re.compile("(?<=[0-9])[\u00b2\u00b3\u00b9\u2070\u2074-\u2079]+")
"""A superscript behind a digit: a power or a footnote, never one more digit."""


def _raised(match: re.Match[str]) -> str:
    """A foreign letter: glued to a price it makes the price unreadable."""
    return "\u02c0" * len(match[0])


_EMOJI_CODE: Final = re.compile(r":[a-z][a-z0-9_+-]{2,40}:", re.ASCII)
_LINK: Final = re.compile(r"(?:https?://|www\.|t\.me/)[^ \t\r\n]+", re.ASCII | re.IGNORECASE)


def _foreign(match: re.Match[str]) -> str:
    """A word of the same length that means nothing in any language."""
    return "\uffff" * len(match[0])


def _in_ascii(text: str) -> str:
    """Every foreign character replaced by its reading. A message has few different ones, and `replace` is quick."""
    foreign = set(_FOREIGN.findall(text))
    if len(foreign) > _MANY:
        return text.translate(_READINGS)
    for char in foreign:
        text = text.replace(char, _READINGS[ord(char)])
    return text


def cleaned(text: str) -> str:
    """The copy that is parsed, of the same length as `text`. The substring tests spare most texts the patterns."""
    if not text.isascii():
        text = _in_ascii(_RAISED.sub(_raised, KEYCAP.sub(_blank, text)))
    if ":" in text:
        text = _EMOJI_CODE.sub(_blank, text)
    if "://" in text or "www." in text or "t.me/" in text:
        text = _LINK.sub(_foreign, text)
    return text.translate(_MARKDOWN) if "*" in text or "`" in text else text


_LOOK_ALIKE: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХавеѕіјкмнорстухҺһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορτυχ",
    "ABESIJKMHOPCTYXabesijkmhopctyxHhdqwABEZHIKMNOPTYXaikvoptux",
)


def look_alike(word: str) -> str | None:
    """The ASCII word that `word` looks like, if every foreign letter in it is a look-alike."""
    folded = word.translate(_LOOK_ALIKE)
    return folded if folded.isascii() and folded != word else None
