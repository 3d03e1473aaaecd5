"""From a draft to a signal, or to everything that is wrong with it.

Nothing is guessed: no side, symbol or level that is not written, no price moved to where it would fit.


How the levels of an order must lie to each other and to the instrument.

Which reading of an odd number holds: the one that fits the instrument and the levels that are certain.

Where two fit, or none, the number is refused. A price that is wrong by a thousand times is worse than none.


Near misses: `BYU` for BUY, `SI` for SL. Only looked for in texts that are refused anyway.
"""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from signalhub.domain.instruments import Instrument, find_transposed_name
from signalhub.domain.signal import OrderType, Side, Signal, format_decimal
from signalhub.grammar.numbers import MAX_DECIMALS, Interpretation, Number
from signalhub.grammar.parsed_fields import MAX_TAKE_PROFITS, EntryRange, ParsedFields, SymbolMatch


def validate_signal(fields: ParsedFields) -> Signal | None:
    """The signal, if the draft is one; otherwise its `problems` say why not."""
    if not fields.is_order:
        return None
    side, name = _validate_side(fields), _validate_symbol(fields)
    resolve_ambiguous_numbers(fields, name.instrument if name else None)
    entry, order_type = _validate_entry(fields), _validate_order_type(fields)
    stop, targets = _validate_stop_loss(fields), _validate_take_profits(fields)
    quantity = _validate_quantity(fields)
    _validate_directives(fields)
    if name is not None:
        check_price_scale(fields, name)
    if side is not None and stop is not None:
        check_level_order(fields, side, entry, stop)
    if fields.problems or side is None or name is None or stop is None or stop.value is None:
        return None
    low, high = entry_bounds(entry)
    return Signal(
        side=side,
        symbol=name.name,
        order_type=order_type,
        entry=low,
        entry_high=high,
        stop_loss=stop.value,
        take_profits=targets,
        quantity=quantity,
    )


def _validate_side(fields: ParsedFields) -> Side | None:
    if not fields.sides:
        fields.add_problem("no_side", f"Write BUY or SELL.{suggest_word(fields, 'side')}")
        return None
    first = fields.sides[0]
    for other in fields.sides:
        if other.value is not first.value:
            fields.add_problem("conflicting_side", "Write BUY or SELL, not both.", other.start, other.end)
            return None
    return first.value


def _validate_symbol(fields: ParsedFields) -> SymbolMatch | None:
    if not fields.symbols:
        if not any(problem.code == "no_symbol" for problem in fields.problems):
            fields.add_problem("no_symbol", "Write the symbol behind the side, like BUY EURUSD.")
        return None
    first = fields.symbols[0]
    for other in fields.symbols:
        if other.name != first.name:
            hint = f"Write one symbol: {first.name} or {other.name}?"
            fields.add_problem("no_symbol", hint, other.start, other.end)
            return None
    if first.instrument is None and (near := find_transposed_name(first.name)):
        fields.add_problem("unknown_symbol", f"Did you mean {near}?", first.start, first.end)
        return None
    return first


def _validate_entry(fields: ParsedFields) -> EntryRange | None:
    if not fields.entries:
        if (label := fields.empty_labels.get("entry")) and not fields.problems:
            hint = "Write the entry price behind its label, or NOW for a market order."
            fields.add_problem("bad_entry", hint, label.start, label.end)
        return None
    first = fields.entries[0]
    for other in fields.entries:
        if entry_bounds(other) != entry_bounds(first):
            fields.add_problem("multiple_entries", "Write one entry.", other.first.start, other.first.end)
    return first


def _validate_order_type(fields: ParsedFields) -> OrderType:
    """As written; without a word a price makes a LIMIT order and no price a MARKET order."""
    if not fields.order_types:
        return OrderType.LIMIT if fields.entries else OrderType.MARKET
    first = fields.order_types[0]
    for other in fields.order_types:
        if other.value is not first.value:
            hint = f"Write one order type: {first.value} or {other.value}?"
            fields.add_problem("conflicting_order_type", hint, other.start, other.end)
    if first.value is not OrderType.MARKET and not fields.entries and not fields.problems:
        hint = f"A {first.value} order needs its price, like {first.value} EURUSD @1.0860."
        fields.add_problem("no_entry_for_pending", hint, first.start, first.end)
    return first.value


def _validate_stop_loss(fields: ParsedFields) -> Number | None:
    if not fields.stop_losses:
        _report_missing_level(fields, "stop_loss", "missing_sl", "Write the stop loss, like SL 1.0850.")
        return None
    for other in fields.stop_losses[1:]:
        fields.add_problem("duplicate_sl", "Write one stop loss.", other.start, other.end)
    return fields.stop_losses[0]


def _validate_take_profits(fields: ParsedFields) -> tuple[Decimal, ...]:
    if not fields.take_profits:
        _report_missing_level(fields, "take_profit", "missing_tp", "Write at least one take profit, like TP 1.0890.")
    if len(fields.take_profits) > MAX_TAKE_PROFITS:
        extra = fields.take_profits[MAX_TAKE_PROFITS]
        fields.add_problem(
            "too_many_targets", f"Write at most {MAX_TAKE_PROFITS} take profits.", extra.start, extra.end
        )
    return tuple(target.value for target in fields.take_profits if target.value is not None)


def _report_missing_level(fields: ParsedFields, field: str, code: str, hint: str) -> None:
    """Report a missing level at its empty label, unless what stands there was already found to be no price."""
    label = fields.empty_labels.get(field)
    if any(problem.code in ("bad_price", "relative_price") for problem in fields.problems):
        return
    if label is None:
        fields.add_problem(code, hint + suggest_word(fields, field))
    else:
        fields.add_problem(code, hint, label.start, label.end)


def _validate_quantity(fields: ParsedFields) -> Decimal:
    if not fields.quantities:
        return Decimal(1)
    first = fields.quantities[0]
    for other in fields.quantities:
        if other.value != first.value:
            fields.add_problem("bad_quantity", "Write one quantity.", other.start, other.end)
    return first.value or Decimal(1)


def _validate_directives(fields: ParsedFields) -> None:
    for found in (fields.client_ids, fields.simulations):
        for other in found[1:]:
            if other.value != found[0].value:
                fields.add_problem("unsupported", "Write each # line once.", other.start, other.end)


def entry_bounds(entry: EntryRange | None) -> tuple[Decimal | None, Decimal | None]:
    """Low and high, whichever was written first; one price has no high."""
    if entry is None or entry.second is None or entry.first.value is None or entry.second.value is None:
        return (None if entry is None else entry.first.value), None
    low, high = sorted((entry.first.value, entry.second.value))
    return (low, None) if low == high else (low, high)


def check_price_scale(fields: ParsedFields, symbol: SymbolMatch) -> None:
    """Catch pips, percents and slipped decimal points, which can satisfy every other rule."""
    levels = [level for level in fields.levels if level.value]
    if symbol.instrument is not None:
        for level in levels:
            if level.value and not symbol.instrument.is_plausible_price(level.value):
                hint = f"{level.text} is no price of {symbol.name}. Write the full price, not a distance."
                fields.add_problem("implausible_level", hint, level.start, level.end)
    values = [level.value for level in levels if level.value]
    if values and max(values) >= 10 * min(values):
        odd = _find_outlier(levels)
        hint = f"{odd.text} is ten times off the other levels. Check its decimal point."
        fields.add_problem("implausible_level", hint, odd.start, odd.end)


def _find_outlier(levels: list[Number]) -> Number:
    """The level farthest from the middle one."""
    values = sorted(level.value for level in levels if level.value)
    middle = values[len(values) // 2]
    return max(levels, key=lambda level: max(level.value / middle, middle / level.value) if level.value else Decimal(0))


def check_level_order(fields: ParsedFields, side: Side, entry: EntryRange | None, stop_loss: Number) -> None:
    """A BUY has its stop below and its targets above the entry, a SELL the other way round. Equal is wrong, too."""
    low, high = entry_bounds(entry)
    below, above = ("below", "above") if side is Side.BUY else ("above", "below")
    near, far = (low, high or low) if side is Side.BUY else (high or low, low)
    sign = side.sign
    profits = [target for target in fields.take_profits if target.value is not None]
    if near is None or far is None:
        _check_levels_without_entry(fields, side, stop_loss, profits)
        return
    if stop_loss.value is not None and sign * (near - stop_loss.value) <= 0:
        hint = f"A {side} needs its stop loss {below} {format_decimal(near)}."
        fields.add_problem("sl_wrong_side", hint, stop_loss.start, stop_loss.end)
    for target in profits:
        if target.value is not None and sign * (target.value - far) <= 0:
            hint = f"A {side} needs its take profit {above} {format_decimal(far)}."
            fields.add_problem("tp_wrong_side", hint, target.start, target.end)


def _check_levels_without_entry(
    fields: ParsedFields, side: Side, stop_loss: Number, take_profits: list[Number]
) -> None:
    """Without an entry the stop loss and the targets can only be held against each other."""
    if stop_loss.value is None:
        return
    wrong = [t for t in take_profits if t.value is not None and side.sign * (t.value - stop_loss.value) <= 0]
    below, above = ("below", "above") if side is Side.BUY else ("above", "below")
    if wrong and len(wrong) == len(take_profits):
        hint = f"A {side} needs its stop loss {below} its take profit {wrong[0].text}."
        fields.add_problem("sl_wrong_side", hint, stop_loss.start, stop_loss.end)
        return
    for target in wrong:
        hint = f"A {side} needs its take profit {above} its stop loss {stop_loss.text}."
        fields.add_problem("tp_wrong_side", hint, target.start, target.end)


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


_SHORT_WORD: Final = re.compile(r"[A-Za-z]{2,12}[0-9]?", re.ASCII)
_MAX_WORDS: Final = 60
_MIN_CHARS_FOR_DELETION: Final = 4

_EXPECTED_WORDS: Final = {
    "side": ("BUY", "SELL", "LONG", "SHORT"),
    "stop_loss": ("SL", "STOPLOSS", "STOP"),
    "take_profit": ("TP", "TARGET", "TARGETS", "TAKEPROFIT"),
}
# Letters that look like others or lie beside them, where one slip makes another short word.
_EXTRA_TYPOS: Final = {"stop_loss": {"SI": "SL", "S1": "SL", "SK": "SL"}, "take_profit": {"TB": "TP", "TO": "TP"}}


def _generate_typos(word: str) -> Iterator[str]:
    """Two letters swapped, one doubled and, where enough is left to recognise, one missing."""
    for i in range(len(word)):
        yield word[:i] + word[i] * 2 + word[i + 1 :]
        if i + 1 < len(word):
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        if len(word) >= _MIN_CHARS_FOR_DELETION:
            yield word[:i] + word[i + 1 :]


_CORRECTIONS: Final = {
    field: {slip: word for word in words for slip in _generate_typos(word) if slip not in words}
    | _EXTRA_TYPOS.get(field, {})
    for field, words in _EXPECTED_WORDS.items()
}


def suggest_word(fields: ParsedFields, field_name: str) -> str:
    """` Did you mean BUY where it says BYU?`, or nothing."""
    meant = _CORRECTIONS[field_name]
    for word in _SHORT_WORD.findall(fields.source.clean)[:_MAX_WORDS]:
        if word.upper() in meant:
            return f" Did you mean {meant[word.upper()]} where it says {word}?"
    return ""
