"""How the levels of an order must lie to each other and to the instrument."""

from decimal import Decimal

from signalhub.domain.signal import Side, format_decimal
from signalhub.grammar.draft import EntryRange, ParsedFields, SymbolMatch
from signalhub.grammar.numbers import Number


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
