"""Numbers as text: exact digits in, exact digits out, no float and no rounding.

A plain number has one reading. `60,000` or `1,086` has several, and which one holds depends on the instrument and on
the other levels, so reading such a number gives all readings and leaves the choice to whoever knows the rest.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

MOST_DIGITS: Final = 28
MOST_DECIMALS: Final = 18

_PLAIN: Final = re.compile(r"(?:0*[1-9][0-9]*|0*)\.[0-9]+|0|[1-9][0-9]*", re.ASCII)
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:(?:,[0-9]{3})+|(?:'[0-9]{3})+)(?:\.[0-9]+)?", re.ASCII)
_EUROPEAN: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+", re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"[0-9]+,([0-9]+)", re.ASCII)


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One way to read a number: one value, or several for a list. `decimals` counts a fraction behind a comma."""

    values: tuple[Decimal, ...]
    decimals: int = 0


class Number(msgspec.Struct, frozen=True, gc=False):
    """A number where it stands. `value` is None while the text has more than one of its `readings`."""

    text: str
    start: int
    end: int
    value: Decimal | None = None
    readings: tuple[Reading, ...] = ()

    def read_as(self, reading: Reading) -> Iterator["Number"]:
        """The number with the value chosen for it, or the numbers of the list it turned out to be."""
        texts = [self.text] if len(reading.values) == 1 else self.text.split(",")
        start = self.start
        for text, value in zip(texts, reading.values, strict=True):
            yield Number(text, start, start + len(text), value)
            start += len(text) + 1


def exact(text: str) -> Decimal | None:
    """The value of a plain number within the limits. `0890` is none: a piece of something that was torn apart."""
    if _PLAIN.fullmatch(text) is None or (len(text) > MOST_DECIMALS and not _is_within_limits(text)):
        return None
    return Decimal(text)


def _is_within_limits(text: str) -> bool:
    whole, _, decimals = text.partition(".")
    return len(whole) + len(decimals) <= MOST_DIGITS and len(decimals) <= MOST_DECIMALS


def thousands(text: str) -> Decimal | None:
    """`67.5` of `67.5k`, times a thousand."""
    value = exact(text)
    return None if value is None else Decimal(format(value.scaleb(3), "f"))


def readings(text: str) -> tuple[Reading, ...]:
    """Every way to read a number with commas, apostrophes or several points in it."""
    found: list[Reading] = []
    if _GROUPED.fullmatch(text) and (value := exact(text.replace(",", "").replace("'", ""))):
        found.append(Reading((value,)))
    if "," not in text:
        return tuple(found)
    if _EUROPEAN.fullmatch(text) and (value := exact(text.replace(".", "").replace(",", "."))):
        found.append(Reading((value,)))
    if (comma := _DECIMAL_COMMA.fullmatch(text)) and (value := exact(text.replace(",", "."))):
        found.append(Reading((value,), len(comma[1])))
    values = tuple(value for piece in text.split(",") if (value := exact(piece)))
    if len(values) == text.count(",") + 1 and max(values) < 10 * min(values):
        found.append(Reading(values))
    return tuple(found)
