"""Validate parsed fields: build the signal, or report everything that is wrong with the fields.

Nothing is guessed: no missing side, symbol or level is filled in, and no price is moved to where it would fit.
"""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.domain.exact_decimals import MAX_VALUE
from signalhub.domain.instruments import Instrument, find_transposed_name
from signalhub.domain.signal import OrderType, Side, Signal, format_decimal
from signalhub.grammar.numbers import MAX_DECIMALS, Interpretation, Number
from signalhub.grammar.parsed_fields import MAX_TAKE_PROFITS, EntryRange, ParsedFields, SymbolMatch

_MAX_LEVEL_RATIO: Final = 10  # between two levels of one signal; more is a distance or a slipped decimal point
_DIGITS_IN_THOUSANDS_GROUP: Final = 3
_SHORT_WORD: Final = re.compile(r"[A-Za-z]{2,12}[0-9]?", re.ASCII)
_MAX_EXAMINED_WORDS: Final = 60
_MIN_CHARS_FOR_DELETION: Final = 4


def validate_signal(fields: ParsedFields) -> Signal | None:
    """Return the signal, or None after reporting in `fields.problems` why there is none."""
    if not fields.is_order:
        return None
    # Each step reports its own problems, so that a sender sees all of them at once. The order of the steps is the
    # order of the problems.
    side, symbol = validate_side(fields), validate_symbol(fields)
    resolve_ambiguous_numbers(fields, symbol.instrument if symbol else None)
    entry, order_type = validate_entry(fields), validate_order_type(fields)
    stop_loss, take_profits = validate_stop_loss(fields), validate_take_profits(fields)
    quantity = validate_quantity(fields)
    check_bounds(fields)
    validate_directives(fields)
    if symbol is not None:
        check_price_scale(fields, symbol)
    if side is not None and stop_loss is not None:
        check_level_order(fields, side, entry, stop_loss)
    if fields.problems or side is None or symbol is None or stop_loss is None or stop_loss.value is None:
        return None
    low, high = (None, None) if entry is None else entry.bounds
    return Signal(
        side=side,
        symbol=symbol.name,
        order_type=order_type,
        entry=low,
        entry_high=high,
        stop_loss=stop_loss.value,
        take_profits=take_profits,
        quantity=quantity,
    )


def validate_side(fields: ParsedFields) -> Side | None:
    if not fields.sides:
        fields.add_problem("no_side", f"Write BUY or SELL.{suggest_word(fields, 'side')}")
        return None
    first = fields.sides[0]
    for other in fields.sides:
        if other.value is not first.value:
            fields.add_problem("conflicting_side", "Write BUY or SELL, not both.", other.start, other.end)
            return None
    return first.value


def validate_symbol(fields: ParsedFields) -> SymbolMatch | None:
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
    if first.instrument is None and (similar := find_transposed_name(first.name)):
        fields.add_problem("unknown_symbol", f"Did you mean {similar}?", first.start, first.end)
        return None
    return first


def validate_entry(fields: ParsedFields) -> EntryRange | None:
    if not fields.entries:
        if (label := fields.empty_labels.get("entry")) and not fields.problems:
            hint = "Write the entry price behind its label, or NOW for a market order."
            fields.add_problem("bad_entry", hint, label.start, label.end)
        return None
    first = fields.entries[0]
    for other in fields.entries[1:]:
        if other.bounds != first.bounds:
            fields.add_problem("multiple_entries", "Write one entry.", other.first.start, other.first.end)
    return first


def validate_order_type(fields: ParsedFields) -> OrderType:
    """Return the order type as written; without one, LIMIT if there is an entry price and MARKET if not."""
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


def validate_stop_loss(fields: ParsedFields) -> Number | None:
    if not fields.stop_losses:
        report_missing_level(fields, "stop_loss", "missing_sl", "Write the stop loss, like SL 1.0850.")
        return None
    for other in fields.stop_losses[1:]:
        fields.add_problem("duplicate_sl", "Write one stop loss.", other.start, other.end)
    return fields.stop_losses[0]


def validate_take_profits(fields: ParsedFields) -> tuple[Decimal, ...]:
    if not fields.take_profits:
        report_missing_level(fields, "take_profit", "missing_tp", "Write at least one take profit, like TP 1.0890.")
    if len(fields.take_profits) > MAX_TAKE_PROFITS:
        extra = fields.take_profits[MAX_TAKE_PROFITS]
        fields.add_problem(
            "too_many_targets", f"Write at most {MAX_TAKE_PROFITS} take profits.", extra.start, extra.end
        )
    return tuple(target.value for target in fields.take_profits if target.value is not None)


def report_missing_level(fields: ParsedFields, field: str, code: GrammarErrorCode, hint: str) -> None:
    """Report a missing level at its empty label, if it has one."""
    label = fields.empty_labels.get(field)
    # An unreadable price was reported where it stands; a second problem would not help the sender.
    if any(problem.code in ("bad_price", "relative_price") for problem in fields.problems):
        return
    if label is None:
        fields.add_problem(code, hint + suggest_word(fields, field))
    else:
        fields.add_problem(code, hint, label.start, label.end)


def validate_quantity(fields: ParsedFields) -> Decimal:
    if not fields.quantities:
        return Decimal(1)
    first = fields.quantities[0]
    for other in fields.quantities:
        if other.value != first.value:
            fields.add_problem("bad_quantity", "Write one quantity.", other.start, other.end)
    return first.value or Decimal(1)


def check_bounds(fields: ParsedFields) -> None:
    for level in fields.levels:
        if level.value is not None and level.value > MAX_VALUE:
            fields.add_problem("bad_price", f"Write a price up to {MAX_VALUE:,}.", level.start, level.end)
    for quantity in fields.quantities:
        if quantity.value is not None and quantity.value > MAX_VALUE:
            fields.add_problem("bad_quantity", f"Write a quantity up to {MAX_VALUE:,}.", quantity.start, quantity.end)


def validate_directives(fields: ParsedFields) -> None:
    for directives in (fields.client_ids, fields.simulations):
        for other in directives[1:]:
            if other.value != directives[0].value:
                fields.add_problem("unsupported", "Write each # line once.", other.start, other.end)


def check_price_scale(fields: ParsedFields, symbol: SymbolMatch) -> None:
    """Report levels that are pips, percents or have a slipped decimal point: they can satisfy every other rule."""
    levels = [level for level in fields.levels if level.value]
    if symbol.instrument is not None:
        for level in levels:
            if level.value and not symbol.instrument.is_plausible_price(level.value):
                hint = f"{level.text} is no price of {symbol.name}. Write the full price, not a distance."
                fields.add_problem("implausible_level", hint, level.start, level.end)
    values = [level.value for level in levels if level.value]
    if values and max(values) >= _MAX_LEVEL_RATIO * min(values):
        outlier = find_outlier(levels)
        hint = f"{outlier.text} is ten times off the other levels. Check its decimal point."
        fields.add_problem("implausible_level", hint, outlier.start, outlier.end)


def find_outlier(levels: list[Number]) -> Number:
    """Return the level with the largest ratio to the median."""
    values = sorted(level.value for level in levels if level.value)
    median = values[len(values) // 2]
    return max(levels, key=lambda level: max(level.value / median, median / level.value) if level.value else Decimal(0))


def check_level_order(fields: ParsedFields, side: Side, entry: EntryRange | None, stop_loss: Number) -> None:
    """Report a stop loss or take profit on the wrong side of the entry, or equal to it.

    A BUY has its stop loss below the entry and its take profits above, a SELL the other way round.
    """
    stop_loss_direction, take_profit_direction = ("below", "above") if side is Side.BUY else ("above", "below")
    take_profits = [target for target in fields.take_profits if target.value is not None]
    low, high = (None, None) if entry is None else entry.bounds
    if low is None:
        check_levels_without_entry(fields, side, stop_loss, take_profits)
        return
    # Of a zone each level is compared with the end next to it.
    stop_loss_limit, take_profit_limit = (low, high or low) if side is Side.BUY else (high or low, low)
    if stop_loss.value is not None and side.sign * (stop_loss_limit - stop_loss.value) <= 0:
        hint = f"A {side} needs its stop loss {stop_loss_direction} {format_decimal(stop_loss_limit)}."
        fields.add_problem("sl_wrong_side", hint, stop_loss.start, stop_loss.end)
    for target in take_profits:
        if target.value is not None and side.sign * (target.value - take_profit_limit) <= 0:
            hint = f"A {side} needs its take profit {take_profit_direction} {format_decimal(take_profit_limit)}."
            fields.add_problem("tp_wrong_side", hint, target.start, target.end)


def check_levels_without_entry(fields: ParsedFields, side: Side, stop_loss: Number, take_profits: list[Number]) -> None:
    """Compare the stop loss with the take profits, because a market order has no entry to compare them with."""
    if stop_loss.value is None:
        return
    wrong = [t for t in take_profits if t.value is not None and side.sign * (t.value - stop_loss.value) <= 0]
    stop_loss_direction, take_profit_direction = ("below", "above") if side is Side.BUY else ("above", "below")
    # If all take profits are wrong, the one stop loss is more likely the mistake.
    if wrong and len(wrong) == len(take_profits):
        hint = f"A {side} needs its stop loss {stop_loss_direction} its take profit {wrong[0].text}."
        fields.add_problem("sl_wrong_side", hint, stop_loss.start, stop_loss.end)
        return
    for target in wrong:
        hint = f"A {side} needs its take profit {take_profit_direction} its stop loss {stop_loss.text}."
        fields.add_problem("tp_wrong_side", hint, target.start, target.end)


def resolve_ambiguous_numbers(fields: ParsedFields, instrument: Instrument | None) -> None:
    """Give each number with several interpretations the one that fits the instrument and the unambiguous levels.

    Where several fit, or none, the number is reported: a price that is wrong by a factor of a thousand is worse than
    no price.
    """
    if all(level.value is not None for level in fields.levels):
        return
    is_plausible = make_plausibility_check(fields, instrument)

    def resolve(number: Number) -> tuple[Number, ...]:
        return (number,) if number.value is not None else resolve_number(fields, number, is_plausible)

    fields.stop_losses = [resolved for number in fields.stop_losses for resolved in resolve(number)]
    fields.take_profits = [resolved for number in fields.take_profits for resolved in resolve(number)]
    fields.entries = [
        EntryRange(resolve(entry.first)[0], None if entry.second is None else resolve(entry.second)[0])
        for entry in fields.entries
    ]


def make_plausibility_check(fields: ParsedFields, instrument: Instrument | None) -> Callable[[Interpretation], bool]:
    """Return a test that an interpretation has prices of the instrument, near the levels that are unambiguous."""
    unambiguous = fields.level_values
    low, high, digits = Decimal(0), Decimal("Infinity"), MAX_DECIMALS
    if instrument is not None:
        low, high, digits = instrument.min_price, instrument.max_price, instrument.digits
    if unambiguous:
        low = max(low, max(unambiguous) / _MAX_LEVEL_RATIO)
        high = min(high, min(unambiguous) * _MAX_LEVEL_RATIO)

    def is_plausible(interpretation: Interpretation) -> bool:
        values = interpretation.values
        return interpretation.comma_decimals <= digits and low <= min(values) and max(values) <= high

    return is_plausible


def resolve_number(
    fields: ParsedFields, number: Number, is_plausible: Callable[[Interpretation], bool]
) -> tuple[Number, ...]:
    plausible = [interpretation for interpretation in number.interpretations if is_plausible(interpretation)]
    # `1,086` is a thousand and something to half of the world, and a fraction to the other half.
    if len(plausible) == 1 and plausible[0].comma_decimals != _DIGITS_IN_THOUSANDS_GROUP:
        return tuple(number.resolve(plausible[0]))
    hint = "Write the price with a point and without thousands separators, like 65000.50."
    fields.add_problem("ambiguous_number", hint, number.start, number.end)
    return (number,)


_EXPECTED_WORDS: Final = {
    "side": ("BUY", "SELL", "LONG", "SHORT"),
    "stop_loss": ("SL", "STOPLOSS", "STOP"),
    "take_profit": ("TP", "TARGET", "TARGETS", "TAKEPROFIT"),
}
# Letters that look alike or are neighbours on the keyboard. For labels of two letters no typo is generated from these.
_EXTRA_TYPOS: Final = {"stop_loss": {"SI": "SL", "S1": "SL", "SK": "SL"}, "take_profit": {"TB": "TP", "TO": "TP"}}


def generate_typos(word: str) -> Iterator[str]:
    """Yield the word with two letters swapped, one doubled and, if it is long enough to recognise, one missing."""
    for i in range(len(word)):
        yield word[:i] + word[i] * 2 + word[i + 1 :]
        if i + 1 < len(word):
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        if len(word) >= _MIN_CHARS_FOR_DELETION:
            yield word[:i] + word[i + 1 :]


_CORRECTIONS: Final = {
    field: {typo: word for word in words for typo in generate_typos(word) if typo not in words}
    | _EXTRA_TYPOS.get(field, {})
    for field, words in _EXPECTED_WORDS.items()
}


def suggest_word(fields: ParsedFields, field_name: str) -> str:
    """Return ` Did you mean BUY where it says BYU?` for a typo in the text, or an empty string.

    Only a text that is refused anyway is searched for typos; a typo is never accepted.
    """
    corrections = _CORRECTIONS[field_name]
    for word in _SHORT_WORD.findall(fields.source.clean)[:_MAX_EXAMINED_WORDS]:
        if word.upper() in corrections:
            return f" Did you mean {corrections[word.upper()]} where it says {word}?"
    return ""
