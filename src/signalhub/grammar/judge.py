"""From a draft to a signal, or to everything that is wrong with it.

Nothing is guessed: no side, symbol or level that is not written, no price moved to where it would fit.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from signalhub.domain.signal import OrderType, Side, Signal, plain
from signalhub.grammar.draft import Draft, Name, Range
from signalhub.grammar.instruments import Instrument, nearest
from signalhub.grammar.numbers import MOST_DECIMALS, Number, Reading
from signalhub.grammar.suggest import did_you_mean

MOST_TARGETS: Final = 20


def judge(draft: Draft) -> Signal | None:
    """The signal, if the draft is one; otherwise its `problems` say why not."""
    if not draft.is_order:
        return None
    side, name = _side(draft), _name(draft)
    _choose_readings(draft, name.instrument if name else None)
    entry, order_type = _entry(draft), _order_type(draft)
    stop, targets = _stop(draft), _targets(draft)
    quantity = _quantity(draft)
    _one_directive(draft)
    if name is not None:
        _check_scale(draft, name)
    if side is not None and stop is not None:
        _check_order(draft, side, entry, stop)
    if draft.problems or side is None or name is None or stop is None or stop.value is None:
        return None
    low, high = _ends(entry)
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


def _side(draft: Draft) -> Side | None:
    if not draft.sides:
        draft.fault("no_side", f"Write BUY or SELL.{did_you_mean(draft, 'side')}")
        return None
    first = draft.sides[0]
    for other in draft.sides:
        if other.value is not first.value:
            draft.fault("conflicting_side", "Write BUY or SELL, not both.", other.start, other.end)
            return None
    return first.value


def _name(draft: Draft) -> Name | None:
    if not draft.names:
        if not any(problem.code == "no_symbol" for problem in draft.problems):
            draft.fault("no_symbol", "Write the symbol behind the side, like BUY EURUSD.")
        return None
    first = draft.names[0]
    for other in draft.names:
        if other.name != first.name:
            hint = f"Write one symbol: {first.name} or {other.name}?"
            draft.fault("no_symbol", hint, other.start, other.end)
            return None
    if first.instrument is None and (near := nearest(first.name)):
        draft.fault("unknown_symbol", f"Did you mean {near}?", first.start, first.end)
        return None
    return first


def _choose_readings(draft: Draft, instrument: Instrument | None) -> None:
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
    # Three digits behind a comma are thousands to one half of the world and a fraction to the other.
    if len(possible) == 1 and possible[0].decimals != 3:  # noqa: PLR2004
        return tuple(number.read_as(possible[0]))
    hint = "Write the price with a point and without thousands separators, like 65000.50."
    draft.fault("ambiguous_number", hint, number.start, number.end)
    return (number,)


def _entry(draft: Draft) -> Range | None:
    if not draft.entries:
        if (label := draft.empty.get("entry")) and not draft.problems:
            hint = "Write the entry price behind its label, or NOW for a market order."
            draft.fault("bad_entry", hint, label.start, label.end)
        return None
    first = draft.entries[0]
    for other in draft.entries:
        if _ends(other) != _ends(first):
            draft.fault("multiple_entries", "Write one entry.", other.first.start, other.first.end)
    return first


def _ends(entry: Range | None) -> tuple[Decimal | None, Decimal | None]:
    """Low and high, whichever was written first; one price has no high."""
    if entry is None or entry.second is None or entry.first.value is None or entry.second.value is None:
        return (None if entry is None else entry.first.value), None
    low, high = sorted((entry.first.value, entry.second.value))
    return (low, None) if low == high else (low, high)


def _order_type(draft: Draft) -> OrderType:
    """As written; without a word a price makes a LIMIT order and no price a MARKET order."""
    if not draft.order_types:
        return OrderType.LIMIT if draft.entries else OrderType.MARKET
    first = draft.order_types[0]
    for other in draft.order_types:
        if other.value is not first.value:
            hint = f"Write one order type: {first.value} or {other.value}?"
            draft.fault("conflicting_order_type", hint, other.start, other.end)
    if first.value is not OrderType.MARKET and not draft.entries and not draft.problems:
        hint = f"A {first.value} order needs its price, like {first.value} EURUSD @1.0860."
        draft.fault("no_entry_for_pending", hint, first.start, first.end)
    return first.value


def _stop(draft: Draft) -> Number | None:
    if not draft.stops:
        _missing(draft, "stop_loss", "missing_sl", "Write the stop loss, like SL 1.0850.")
        return None
    for other in draft.stops[1:]:
        draft.fault("duplicate_sl", "Write one stop loss.", other.start, other.end)
    return draft.stops[0]


def _targets(draft: Draft) -> tuple[Decimal, ...]:
    if not draft.targets:
        _missing(draft, "take_profit", "missing_tp", "Write at least one take profit, like TP 1.0890.")
    if len(draft.targets) > MOST_TARGETS:
        extra = draft.targets[MOST_TARGETS]
        draft.fault("too_many_targets", f"Write at most {MOST_TARGETS} take profits.", extra.start, extra.end)
    return tuple(target.value for target in draft.targets if target.value is not None)


def _missing(draft: Draft, field: str, code: str, hint: str) -> None:
    """Report a missing level at its empty label, unless what stands there was already found to be no price."""
    label = draft.empty.get(field)
    if any(problem.code in ("bad_price", "relative_price") for problem in draft.problems):
        return
    if label is None:
        draft.fault(code, hint + did_you_mean(draft, field))
    else:
        draft.fault(code, hint, label.start, label.end)


def _quantity(draft: Draft) -> Decimal:
    if not draft.quantities:
        return Decimal(1)
    first = draft.quantities[0]
    for other in draft.quantities:
        if other.value != first.value:
            draft.fault("bad_quantity", "Write one quantity.", other.start, other.end)
    return first.value or Decimal(1)


def _one_directive(draft: Draft) -> None:
    for found in (draft.client_ids, draft.simulations):
        for other in found[1:]:
            if other.value != found[0].value:
                draft.fault("unsupported", "Write each # line once.", other.start, other.end)


def _check_scale(draft: Draft, name: Name) -> None:
    """Catch pips, percents and slipped decimal points, which can satisfy every other rule."""
    levels = [level for level in draft.levels if level.value]
    if name.instrument is not None:
        for level in levels:
            if level.value and not name.instrument.allows(level.value):
                hint = f"{level.text} is no price of {name.name}. Write the full price, not a distance."
                draft.fault("implausible_level", hint, level.start, level.end)
    values = [level.value for level in levels if level.value]
    if values and max(values) >= 10 * min(values):
        odd = _odd_one(levels)
        hint = f"{odd.text} is ten times off the other levels. Check its decimal point."
        draft.fault("implausible_level", hint, odd.start, odd.end)


def _odd_one(levels: list[Number]) -> Number:
    """The level farthest from the middle one."""
    values = sorted(level.value for level in levels if level.value)
    middle = values[len(values) // 2]
    return max(levels, key=lambda level: max(level.value / middle, middle / level.value) if level.value else Decimal(0))


def _check_order(draft: Draft, side: Side, entry: Range | None, stop: Number) -> None:
    """A BUY has its stop below and its targets above the entry, a SELL the other way round. Equal is wrong, too."""
    low, high = _ends(entry)
    below, above = ("below", "above") if side is Side.BUY else ("above", "below")
    near, far = (low, high or low) if side is Side.BUY else (high or low, low)
    sign = side.sign
    profits = [target for target in draft.targets if target.value is not None]
    if near is None or far is None:
        _check_unpriced(draft, side, stop, profits)
        return
    if stop.value is not None and sign * (near - stop.value) <= 0:
        hint = f"A {side} needs its stop loss {below} {plain(near)}."
        draft.fault("sl_wrong_side", hint, stop.start, stop.end)
    for target in profits:
        if target.value is not None and sign * (target.value - far) <= 0:
            hint = f"A {side} needs its take profit {above} {plain(far)}."
            draft.fault("tp_wrong_side", hint, target.start, target.end)


def _check_unpriced(draft: Draft, side: Side, stop: Number, targets: list[Number]) -> None:
    """Without an entry the stop loss and the targets can only be held against each other."""
    if stop.value is None:
        return
    wrong = [t for t in targets if t.value is not None and side.sign * (t.value - stop.value) <= 0]
    below, above = ("below", "above") if side is Side.BUY else ("above", "below")
    if wrong and len(wrong) == len(targets):
        hint = f"A {side} needs its stop loss {below} its take profit {wrong[0].text}."
        draft.fault("sl_wrong_side", hint, stop.start, stop.end)
        return
    for target in wrong:
        hint = f"A {side} needs its take profit {above} its stop loss {stop.text}."
        draft.fault("tp_wrong_side", hint, target.start, target.end)
