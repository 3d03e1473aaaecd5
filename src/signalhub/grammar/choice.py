"""Which reading of an odd number holds: the one that fits the instrument and the levels that are certain.

Where two fit, or none, the number is refused. A price that is wrong by a thousand times is worse than none.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from signalhub.grammar.draft import EntryRange, ParsedFields
from signalhub.grammar.instruments import Instrument
from signalhub.grammar.numbers import MAX_DECIMALS, Interpretation, Number

_THOUSANDS_GROUP_DIGITS: Final = 3
"""This many digits behind a comma are thousands to one half of the world and a fraction to the other."""


def resolve_ambiguous_numbers(fields: ParsedFields, instrument: Instrument | None) -> None:
    """Give a value to every number with more than one reading, or refuse it."""
    if all(level.value is not None for level in fields.levels):
        return
    likely = _make_plausibility_check(fields, instrument)

    def chosen(number: Number) -> tuple[Number, ...]:
        return (number,) if number.value is not None else _resolve_number(fields, number, likely)

    fields.stop_losses = [one for number in fields.stop_losses for one in chosen(number)]
    fields.take_profits = [one for number in fields.take_profits for one in chosen(number)]
    fields.entries = [
        EntryRange(chosen(entry.first)[0], None if entry.second is None else chosen(entry.second)[0])
        for entry in fields.entries
    ]


def _make_plausibility_check(fields: ParsedFields, instrument: Instrument | None) -> Callable[[Interpretation], bool]:
    """Whether a reading is made of prices of the instrument, within ten times of the levels that are certain."""
    certain = fields.level_values
    low, high, digits = Decimal(0), Decimal("Infinity"), MAX_DECIMALS
    if instrument is not None:
        low, high, digits = instrument.min_price, instrument.max_price, instrument.digits
    if certain:
        low, high = max(low, max(certain) / 10), min(high, min(certain) * 10)

    def is_likely(reading: Interpretation) -> bool:
        values = reading.values
        return reading.comma_decimals <= digits and low <= min(values) and max(values) <= high

    return is_likely


def _resolve_number(
    fields: ParsedFields, number: Number, is_plausible: Callable[[Interpretation], bool]
) -> tuple[Number, ...]:
    possible = [reading for reading in number.interpretations if is_plausible(reading)]
    if len(possible) == 1 and possible[0].comma_decimals != _THOUSANDS_GROUP_DIGITS:
        return tuple(number.resolve(possible[0]))
    hint = "Write the price with a point and without thousands separators, like 65000.50."
    fields.add_problem("ambiguous_number", hint, number.start, number.end)
    return (number,)
