"""Parse the base form with one regular expression: `BUY EURUSD @1.0860`, `SL 1.0850`, `TP 1.0890`.

Most signals have this form, so most time under load is spent here. Any doubt about a text returns None, and the
general parser decides. A property test holds that both give the same result for what the fast path accepts.
"""

import re
from decimal import Decimal
from operator import attrgetter
from typing import Final

from signalhub.domain.instruments import INSTRUMENTS_BY_NAME, Instrument
from signalhub.domain.signal import OrderType, Side, Signal
from signalhub.grammar.results import ParsedSignal, Part

_PRICE: Final = r"([1-9][0-9]{0,9}(?:\.[0-9]{1,10})?|0\.[0-9]{1,10})"
_SEPARATOR: Final = r"[ \t]*(?:\r?\n[ \t]*)+|[ \t]+"
_HEAD: Final = rf"[ \t\r\n]*(buy|sell)[ \t]+([a-z]{{3,10}})(?:[ \t]+(?:@[ \t]?{_PRICE}|\[@{_PRICE}\]))?(?:{_SEPARATOR})"
_TAIL: Final = r"[ \t\r\n]*"
_STOP_LOSS_FIRST: Final = rf"{_HEAD}sl[ \t]+{_PRICE}(?:{_SEPARATOR})tp[ \t]+{_PRICE}{_TAIL}"
_TAKE_PROFIT_FIRST: Final = rf"{_HEAD}tp[ \t]+{_PRICE}(?:{_SEPARATOR})sl[ \t]+{_PRICE}{_TAIL}"

_match_stop_loss_first: Final = re.compile(_STOP_LOSS_FIRST, re.ASCII | re.IGNORECASE).fullmatch
_match_take_profit_first: Final = re.compile(_TAKE_PROFIT_FIRST, re.ASCII | re.IGNORECASE).fullmatch

_MAX_CHARS: Final = 200
"""A longer text is not the plain base form, and no pattern is slow on a shorter one."""

_PART_KINDS: Final = ("side", "symbol", "entry", "stop_loss", "take_profit")
_PART_KINDS_WITHOUT_ENTRY: Final = ("side", "symbol", "stop_loss", "take_profit")
_get_start: Final = attrgetter("start")


def parse_base_form(text: str) -> ParsedSignal | None:
    """Return the signal, or None if the text is not exactly a valid base form with a known symbol."""
    if len(text) > _MAX_CHARS:
        return None
    groups = (1, 2, 3, 4, 5, 6)
    match = _match_stop_loss_first(text)
    if match is None:
        match = _match_take_profit_first(text)
        groups = (1, 2, 3, 4, 6, 5)
        if match is None:
            return None
    side, symbol, plain_entry, bracketed_entry, stop_loss, take_profit = match.group(*groups)
    instrument = INSTRUMENTS_BY_NAME.get(symbol.upper())
    if instrument is None:
        return None
    entry = plain_entry or bracketed_entry
    signal = Signal(
        side=Side.BUY if side[0] in "bB" else Side.SELL,
        symbol=instrument.name,
        order_type=OrderType.LIMIT if entry else OrderType.MARKET,
        entry=Decimal(entry) if entry else None,
        stop_loss=Decimal(stop_loss),
        take_profits=(Decimal(take_profit),),
    )
    if not has_valid_levels(signal, instrument):
        return None
    spans = [match.span(group) for group in groups if match.end(group) >= 0]
    return ParsedSignal(signal=signal, parts=_build_parts(text, signal, spans))


def has_valid_levels(signal: Signal, instrument: Instrument) -> bool:
    """Check that the levels are in order, within the band of the instrument, and none is ten times another."""
    stop, entry, target = signal.stop_loss, signal.entry, signal.take_profits[0]
    low, high = (stop, target) if signal.side is Side.BUY else (target, stop)
    if entry is not None and not low < entry < high:
        return False
    return low < high < 10 * low and instrument.min_price <= low and high <= instrument.max_price


def _build_parts(text: str, signal: Signal, spans: list[tuple[int, int]]) -> tuple[Part, ...]:
    kinds = _PART_KINDS_WITHOUT_ENTRY if signal.entry is None else _PART_KINDS
    parts = []
    for kind, (start, end) in zip(kinds, spans, strict=True):
        piece = text[start:end]
        # The patterns admit prices in canonical digits only, so a price is its own value.
        value = signal.side.value if kind == "side" else signal.symbol if kind == "symbol" else piece
        line = text.count("\n", 0, start) + 1
        parts.append(Part(kind, line, start - text.rfind("\n", 0, start), end - start, start, piece, value))
    parts.sort(key=_get_start)  # the take profit may come first
    return tuple(parts)
