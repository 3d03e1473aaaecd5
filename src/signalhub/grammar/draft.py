"""What an adapter has read so far, before anyone has judged whether it makes an order.

Every field is a list, because a text may say a thing twice: that is a problem to report, not a value to overwrite.
"""

from decimal import Decimal
from typing import Final, Generic, TypeVar

import msgspec

from signalhub.domain.errors import Problem
from signalhub.domain.signal import OrderType, Side
from signalhub.grammar.instruments import Instrument
from signalhub.grammar.numbers import Number
from signalhub.grammar.text import Text

T = TypeVar("T")

MOST_TARGETS: Final = 20

_MOST_PROBLEMS: Final = 50
_ENOUGH_PROBLEMS: Final = 10
"""Nobody reads more of them: a text that is made to have thousands is read no further."""


class Found(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A value and where it stands."""

    value: T
    start: int
    end: int


class Name(msgspec.Struct, frozen=True, gc=False):
    """A symbol: the name to trade, the name as written, and the instrument if it is a known one."""

    name: str
    written: str
    start: int
    end: int
    instrument: Instrument | None = None


class Range(msgspec.Struct, frozen=True, gc=False):
    """An entry: one price, or the two ends of a zone as they were written."""

    first: Number
    second: Number | None = None


class Draft:
    """Fields in the order they were written. `problems` holds what the adapter itself could not read."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.sides: list[Found[Side]] = []
        self.names: list[Name] = []
        self.order_types: list[Found[OrderType]] = []
        self.entries: list[Range] = []
        self.stops: list[Number] = []
        self.targets: list[Number] = []
        self.quantities: list[Number] = []
        self.client_ids: list[Found[str]] = []
        self.simulations: list[Found[str]] = []
        self.notes: list[Found[str]] = []
        self.ignored: list[Found[str]] = []
        self.empty: dict[str, Found[str]] = {}  # labels without a value, by field
        self.problems: list[Problem] = []
        self._told: set[tuple[str, int]] = set()
        self.is_order = True  # False once dismissed
        self.is_lost = False  # so much is wrong that reading on would tell nothing new

    def fault(self, code: str, hint: str, start: int = 0, end: int = 0) -> None:
        """Note a problem, once: the same code at the same place says nothing new."""
        if len(self.problems) < _MOST_PROBLEMS and (code, start) not in self._told:
            self._told.add((code, start))
            self.problems.append(self.text.problem(code, hint, start, end))
            self.is_lost = self.is_lost or len(self.problems) > _ENOUGH_PROBLEMS

    def dismiss(self, code: str, hint: str, start: int = 0, end: int = 0) -> None:
        """Say what the text is instead of an order. What else is wrong with it would only mislead."""
        self.problems.clear()
        self._told.clear()
        self.fault(code, hint, start, end)
        self.is_order = False

    @property
    def levels(self) -> list[Number]:
        """Every price of the draft, in no particular order."""
        entries = [number for entry in self.entries for number in (entry.first, entry.second) if number is not None]
        return [*entries, *self.stops, *self.targets]

    @property
    def values(self) -> list[Decimal]:
        return [level.value for level in self.levels if level.value is not None]
