"""How the levels of an order must lie to each other and to the instrument."""

from decimal import Decimal

from signalhub.domain.signal import Side, plain
from signalhub.grammar.draft import Draft, Name, Range
from signalhub.grammar.numbers import Number


def ends(entry: Range | None) -> tuple[Decimal | None, Decimal | None]:
    """Low and high, whichever was written first; one price has no high."""
    if entry is None or entry.second is None or entry.first.value is None or entry.second.value is None:
        return (None if entry is None else entry.first.value), None
    low, high = sorted((entry.first.value, entry.second.value))
    return (low, None) if low == high else (low, high)


def check_scale(draft: Draft, name: Name) -> None:
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


def check_order(draft: Draft, side: Side, entry: Range | None, stop: Number) -> None:
    """A BUY has its stop below and its targets above the entry, a SELL the other way round. Equal is wrong, too."""
    low, high = ends(entry)
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
