"""Which reading of an odd number holds: the one that fits the instrument and the levels that are certain.

Where two fit, or none, the number is refused. A price that is wrong by a thousand times is worse than none.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from signalhub.grammar.draft import Draft, Range
from signalhub.grammar.instruments import Instrument
from signalhub.grammar.numbers import MOST_DECIMALS, Number, Reading

_THOUSANDS: Final = 3
"""This many digits behind a comma are thousands to one half of the world and a fraction to the other."""


def choose_readings(draft: Draft, instrument: Instrument | None) -> None:
    """Give a value to every number with more than one reading, or refuse it."""
    if all(level.value is not None for level in draft.levels):
        return
    likely = _likely(draft, instrument)

    def chosen(number: Number) -> tuple[Number, ...]:
        return (number,) if number.value is not None else _chosen(draft, number, likely)

    draft.stops = [one for number in draft.stops for one in chosen(number)]
    draft.targets = [one for number in draft.targets for one in chosen(number)]
    draft.entries = [
        Range(chosen(entry.first)[0], None if entry.second is None else chosen(entry.second)[0])
        for entry in draft.entries
    ]


def _likely(draft: Draft, instrument: Instrument | None) -> Callable[[Reading], bool]:
    """Whether a reading is made of prices of the instrument, within ten times of the levels that are certain."""
    certain = draft.values
    low, high, digits = Decimal(0), Decimal("Infinity"), MOST_DECIMALS
    if instrument is not None:
        low, high, digits = instrument.low, instrument.high, instrument.digits
    if certain:
        low, high = max(low, max(certain) / 10), min(high, min(certain) * 10)

    def is_likely(reading: Reading) -> bool:
        values = reading.values
        return reading.decimals <= digits and low <= min(values) and max(values) <= high

    return is_likely


def _chosen(draft: Draft, number: Number, is_likely: Callable[[Reading], bool]) -> tuple[Number, ...]:
    possible = [reading for reading in number.readings if is_likely(reading)]
    if len(possible) == 1 and possible[0].decimals != _THOUSANDS:
        return tuple(number.read_as(possible[0]))
    hint = "Write the price with a point and without thousands separators, like 65000.50."
    draft.fault("ambiguous_number", hint, number.start, number.end)
    return (number,)
