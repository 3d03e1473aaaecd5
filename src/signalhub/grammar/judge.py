"""From a draft to a signal, or to everything that is wrong with it.

Nothing is guessed: no side, symbol or level that is not written, no price moved to where it would fit.
"""

from decimal import Decimal

from signalhub.domain.signal import OrderType, Side, Signal
from signalhub.grammar.choice import choose_readings
from signalhub.grammar.draft import MOST_TARGETS, Draft, Name, Range
from signalhub.grammar.geometry import check_order, check_scale, ends
from signalhub.grammar.instruments import nearest
from signalhub.grammar.numbers import Number
from signalhub.grammar.suggest import did_you_mean


def judge(draft: Draft) -> Signal | None:
    """The signal, if the draft is one; otherwise its `problems` say why not."""
    if not draft.is_order:
        return None
    side, name = _side(draft), _name(draft)
    choose_readings(draft, name.instrument if name else None)
    entry, order_type = _entry(draft), _order_type(draft)
    stop, targets = _stop(draft), _targets(draft)
    quantity = _quantity(draft)
    _one_directive(draft)
    if name is not None:
        check_scale(draft, name)
    if side is not None and stop is not None:
        check_order(draft, side, entry, stop)
    if draft.problems or side is None or name is None or stop is None or stop.value is None:
        return None
    low, high = ends(entry)
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


def _entry(draft: Draft) -> Range | None:
    if not draft.entries:
        if (label := draft.empty.get("entry")) and not draft.problems:
            hint = "Write the entry price behind its label, or NOW for a market order."
            draft.fault("bad_entry", hint, label.start, label.end)
        return None
    first = draft.entries[0]
    for other in draft.entries:
        if ends(other) != ends(first):
            draft.fault("multiple_entries", "Write one entry.", other.first.start, other.first.end)
    return first


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
