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


class Number(msgspec.Struct, frozen=True, gc=False):
    """A number where it stands. `value` is None while the text has more than one reading."""

    text: str
    start: int
    end: int
    value: Decimal | None = None


def exact(text: str) -> Decimal | None:
    """The value of a plain number within the limits. `0890` is none: a piece of something that was torn apart."""
    if len(text) > MOST_DIGITS + 1 or _PLAIN.fullmatch(text) is None:
        return None
    whole, _, decimals = text.partition(".")
    if len(whole) + len(decimals) > MOST_DIGITS or len(decimals) > MOST_DECIMALS:
        return None
    return Decimal(text)


def thousands(text: str) -> Decimal | None:
    """`67.5` of `67.5k`, times a thousand."""
    value = exact(text)
    return None if value is None else Decimal(format(value.scaleb(3), "f"))


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One way to read a number. `decimals` is the length of a fraction behind a comma, 0 where there is none."""

    numbers: tuple[Number, ...]
    decimals: int = 0

    @property
    def values(self) -> tuple[Decimal, ...]:
        return tuple(number.value for number in self.numbers if number.value is not None)


def readings(number: Number) -> Iterator[Reading]:
    """Every way to read a number with commas, apostrophes or several points in it."""
    text = number.text
    if _GROUPED.fullmatch(text):
        yield from _single(number, text.replace(",", "").replace("'", ""))
    if _EUROPEAN.fullmatch(text):
        yield from _single(number, text.replace(".", "").replace(",", "."))
    if comma := _DECIMAL_COMMA.fullmatch(text):
        yield from _single(number, text.replace(",", "."), len(comma[1]))
    if "," in text:
        yield from _list(number)


def _single(number: Number, plain: str, decimals: int = 0) -> Iterator[Reading]:
    if (value := exact(plain)) is not None:
        yield Reading((Number(number.text, number.start, number.end, value),), decimals)


def _list(number: Number) -> Iterator[Reading]:
    pieces = tuple(_pieces(number))
    values = [piece.value for piece in pieces if piece.value]
    if len(values) == len(pieces) and max(values) < 10 * min(values):
        yield Reading(pieces)


def _pieces(number: Number) -> Iterator[Number]:
    start = number.start
    for piece in number.text.split(","):
        yield Number(piece, start, start + len(piece), exact(piece))
        start += len(piece) + 1
