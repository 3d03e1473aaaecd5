"""Numbers as text: exact digits in, exact digits out, no float and no rounding.

A plain number has one reading. `60,000` or `1,086` has several, and which one holds depends on the instrument and on
the other levels, so reading such a number gives all readings and leaves the choice to whoever knows the rest.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

MAX_DIGITS: Final = 28
MAX_DECIMALS: Final = 18

_PLAIN: Final = re.compile(r"(?:0*[1-9][0-9]*|0*)\.[0-9]+|0|[1-9][0-9]*", re.ASCII)
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:(?:,[0-9]{3})+|(?:'[0-9]{3})+)(?:\.[0-9]+)?", re.ASCII)
_EUROPEAN: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+", re.ASCII)


class Interpretation(msgspec.Struct, frozen=True, gc=False):
    """One way to read a number: one value, or several for a list. `decimals` counts a fraction behind a comma."""

    values: tuple[Decimal, ...]
    comma_decimals: int = 0

    @property
    def is_unambiguous(self) -> bool:
        """Whether it is one value that nothing could make more or less likely."""
        return self.comma_decimals == 0 and len(self.values) == 1


class Number(msgspec.Struct, frozen=True, gc=False):
    """A number where it stands. `value` is None while the text has more than one of its `readings`."""

    text: str
    start: int
    end: int
    value: Decimal | None = None
    interpretations: tuple[Interpretation, ...] = ()

    def resolve(self, interpretation: Interpretation) -> Iterator["Number"]:
        """The number with the value chosen for it, or the numbers of the list it turned out to be."""
        texts = [self.text] if len(interpretation.values) == 1 else self.text.split(",")
        start = self.start
        for text, value in zip(texts, interpretation.values, strict=True):
            yield Number(text, start, start + len(text), value)
            start += len(text) + 1


def parse_exact(text: str) -> Decimal | None:
    """The value of a plain number within the limits. `0890` is none: a piece of something that was torn apart."""
    if _PLAIN.fullmatch(text) is None or (len(text) > MAX_DECIMALS and not _is_within_limits(text)):
        return None
    return Decimal(text)


def _is_within_limits(text: str) -> bool:
    whole, _, decimals = text.partition(".")
    return len(whole) + len(decimals) <= MAX_DIGITS and len(decimals) <= MAX_DECIMALS


def parse_thousands(text: str) -> Decimal | None:
    """`67.5` of `67.5k`, times a thousand."""
    value = parse_exact(text)
    return None if value is None else Decimal(format(value.scaleb(3), "f"))


def interpret_number(text: str) -> tuple[Interpretation, ...]:
    """Every way to read a number with commas, apostrophes or several points in it."""
    head, *rest = text.split(",")
    values: list[tuple[Decimal | None, int]] = []
    if _GROUPED.fullmatch(text):
        values.append((parse_exact(text.replace(",", "").replace("'", "")), 0))
    elif len(rest) == 1 and _EUROPEAN.fullmatch(text):
        values.append((parse_exact(text.replace(".", "").replace(",", ".")), 0))
    if len(rest) == 1 and head.isdigit() and rest[0].isdigit():
        values.append((parse_exact(f"{head}.{rest[0]}"), len(rest[0])))
    found = [Interpretation((value,), decimals) for value, decimals in values if value]
    if rest and (listed := _interpret_as_list(head, rest)):
        found.append(listed)
    return tuple(found)


def _interpret_as_list(first_piece: str, other_pieces: list[str]) -> Interpretation | None:
    """`95,90`: prices in a row, if each is a number and none ten times another."""
    first, second = first_piece.partition(".")[0], other_pieces[0].partition(".")[0]
    if len(first) > MAX_DIGITS or len(second) > MAX_DIGITS or not (first.isdigit() and second.isdigit()):
        return None
    # Whole parts tell most numbers with commas from a list, and spare reading the pieces exactly.
    if int(second) >= 10 * (int(first) + 1) or int(first) >= 10 * (int(second) + 1):
        return None
    values = tuple(value for piece in (first_piece, *other_pieces) if (value := parse_exact(piece)))
    is_list = len(values) == len(other_pieces) + 1 and max(values) < 10 * min(values)
    return Interpretation(values) if is_list else None
