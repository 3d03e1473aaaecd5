"""The fields that a format has read from a text, before they are validated.

Every field is a list, because a text may give a field twice: that is a problem to report, not a value to overwrite.
"""

from decimal import Decimal
from typing import Final, Generic, TypeVar

import msgspec

from signalhub.domain.errors import GrammarErrorCode, Problem
from signalhub.domain.instruments import Instrument
from signalhub.domain.signal import OrderType, Side
from signalhub.grammar.numbers import Number
from signalhub.grammar.source_text import SourceText

T = TypeVar("T")

MAX_TAKE_PROFITS: Final = 20

_MAX_PROBLEMS: Final = 50
_MAX_PROBLEMS_TO_READ_ON: Final = 10
"""A text with more problems is read no further, so that a text made of thousands of them costs little."""


class Spanned(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A value and its position in the text."""

    value: T
    start: int
    end: int


ProblemArguments = tuple[GrammarErrorCode, str, int, int]
"""Code, hint, start and end: the arguments of `ParsedFields.add_problem`."""


class SymbolMatch(msgspec.Struct, frozen=True, gc=False):
    """A symbol: the name to trade, its position, and the instrument if the name is known.

    In a text, `end_index` is the token after the symbol and `exchange_index` that of `OANDA` in `OANDA:XAUUSD`, or -1.
    """

    name: str
    start: int
    end: int
    instrument: Instrument | None = None
    end_index: int = 0
    exchange_index: int = -1
    problems: tuple[ProblemArguments, ...] = ()


class EntryRange(msgspec.Struct, frozen=True, gc=False):
    """An entry: one price, or the two ends of a zone in the order they were written."""

    first: Number
    second: Number | None = None

    @property
    def ends(self) -> tuple[Number, Number | None]:
        """Low and high end. One price, or a zone with equal or unresolved ends, has no high."""
        first, second = self.first, self.second
        if second is None or first.value is None or second.value is None or first.value == second.value:
            return first, None
        return (first, second) if first.value < second.value else (second, first)

    @property
    def bounds(self) -> tuple[Decimal | None, Decimal | None]:
        """Values of the `ends`."""
        low, high = self.ends
        return low.value, None if high is None else high.value


class ParsedFields:
    """Values of each field in the order they were written, and the problems found so far."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.sides: list[Spanned[Side]] = []
        self.symbols: list[SymbolMatch] = []
        self.order_types: list[Spanned[OrderType]] = []
        self.entries: list[EntryRange] = []
        self.stop_losses: list[Number] = []
        self.take_profits: list[Number] = []
        self.quantities: list[Number] = []
        self.client_ids: list[Spanned[str]] = []
        self.simulations: list[Spanned[str]] = []
        self.notes: list[Spanned[str]] = []
        self.ignored: list[Spanned[str]] = []
        self.empty_labels: dict[str, Spanned[str]] = {}  # labels without a value, by field
        self.problems: list[Problem] = []
        self._reported: set[tuple[str, int]] = set()
        self.is_order = True  # False once `reject` was called
        self.has_too_many_errors = False

    def add_problem(self, code: GrammarErrorCode, hint: str, start: int = 0, end: int = 0) -> None:
        """Add a problem, unless one with the same code at the same position is there already."""
        if len(self.problems) < _MAX_PROBLEMS and (code, start) not in self._reported:
            self._reported.add((code, start))
            self.problems.append(self.source.build_problem(code, hint, start, end))
            self.has_too_many_errors = self.has_too_many_errors or len(self.problems) > _MAX_PROBLEMS_TO_READ_ON

    def reject(self, code: GrammarErrorCode, hint: str, start: int = 0, end: int = 0) -> None:
        """Refuse the text as something other than an order, and drop all other problems: they would mislead."""
        self.problems.clear()
        self._reported.clear()
        self.add_problem(code, hint, start, end)
        self.is_order = False

    @property
    def levels(self) -> list[Number]:
        """Every price, entries first."""
        entries = [number for entry in self.entries for number in (entry.first, entry.second) if number is not None]
        return [*entries, *self.stop_losses, *self.take_profits]

    @property
    def level_values(self) -> list[Decimal]:
        return [level.value for level in self.levels if level.value is not None]
