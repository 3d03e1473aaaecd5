"""From a draft to a signal, or to everything that is wrong with it.

Nothing is guessed: no side, symbol or level that is not written, no price moved to where it would fit.
"""

from decimal import Decimal

from signalhub.domain.signal import OrderType, Side, Signal
from signalhub.grammar.choice import resolve_ambiguous_numbers
from signalhub.grammar.draft import MAX_TAKE_PROFITS, EntryRange, ParsedFields, SymbolMatch
from signalhub.grammar.geometry import check_level_order, check_price_scale, entry_bounds
from signalhub.grammar.instruments import find_transposed_name
from signalhub.grammar.numbers import Number
from signalhub.grammar.suggest import suggest_word


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
