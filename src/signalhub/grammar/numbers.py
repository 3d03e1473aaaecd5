"""Parse numbers exactly: no float, no rounding, every digit kept.

A plain number has one value. `60,000` or `1,086` can be read in several ways, and which one is right depends on the
instrument and the other levels. For such a number this module returns every interpretation; `validate` chooses one.
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
    """One way to read a number: one value, or several if it is a list.

    `comma_decimals` is the number of digits after a decimal comma, and 0 without one.
    """

    values: tuple[Decimal, ...]
    comma_decimals: int = 0

    @property
    def is_unambiguous(self) -> bool:
        # A list and a decimal comma are guesses, which the other levels have to confirm.
        return self.comma_decimals == 0 and len(self.values) == 1


class Number(msgspec.Struct, frozen=True, gc=False):
    """A number and its position. `value` is None while more than one of the `interpretations` is possible."""

    text: str
    start: int
    end: int
    value: Decimal | None = None
    interpretations: tuple[Interpretation, ...] = ()

    def resolve(self, interpretation: Interpretation) -> Iterator["Number"]:
        """Yield the number with the chosen value, or each number of the list that the interpretation makes of it."""
        texts = [self.text] if len(interpretation.values) == 1 else self.text.split(",")
        start = self.start
        for text, value in zip(texts, interpretation.values, strict=True):
            yield Number(text, start, start + len(text), value)
            start += len(text) + 1


def parse_exact(text: str) -> Decimal | None:
    """Return the value of a plain number, or None. `0890` is none: it looks like a fragment of another number."""
    if _PLAIN.fullmatch(text) is None:
        return None
    if len(text) > MAX_DECIMALS:  # a shorter number is within both limits
        whole, _, decimals = text.partition(".")
        if len(whole) + len(decimals) > MAX_DIGITS or len(decimals) > MAX_DECIMALS:
            return None
    return Decimal(text)


def parse_thousands(text: str) -> Decimal | None:
    """Return the value of `67.5k`, given `67.5`."""
    value = parse_exact(text)
    # `scaleb` may leave an exponent; formatting writes out the zeros.
    return None if value is None else Decimal(format(value.scaleb(3), "f"))


def interpret_number(text: str) -> tuple[Interpretation, ...]:
    """Return every way to read a number that has commas, apostrophes or several points."""
    head, *rest = text.split(",")
    values: list[tuple[Decimal | None, int]] = []
    if _GROUPED.fullmatch(text):
        values.append((parse_exact(text.replace(",", "").replace("'", "")), 0))
    elif len(rest) == 1 and _EUROPEAN.fullmatch(text):
        values.append((parse_exact(text.replace(".", "").replace(",", ".")), 0))
    if len(rest) == 1 and head.isdigit() and rest[0].isdigit():
        values.append((parse_exact(f"{head}.{rest[0]}"), len(rest[0])))
    interpretations = [Interpretation((value,), decimals) for value, decimals in values if value]
    if rest and (as_list := interpret_as_list(head, rest)):
        interpretations.append(as_list)
    return tuple(interpretations)


def interpret_as_list(first_piece: str, other_pieces: list[str]) -> Interpretation | None:
    """Read `95,90` as a list of prices, if each piece is a number and none is ten times another."""
    first, second = first_piece.partition(".")[0], other_pieces[0].partition(".")[0]
    if len(first) > MAX_DIGITS or len(second) > MAX_DIGITS or not (first.isdigit() and second.isdigit()):
        return None
    # Comparing two whole parts rules out most numbers with commas, before all pieces are parsed.
    if int(second) >= 10 * (int(first) + 1) or int(first) >= 10 * (int(second) + 1):
        return None
    values = tuple(value for piece in (first_piece, *other_pieces) if (value := parse_exact(piece)))
    is_list = len(values) == len(other_pieces) + 1 and max(values) < 10 * min(values)
    return Interpretation(values) if is_list else None
