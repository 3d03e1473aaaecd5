"""The base form, read in one look: `BUY EURUSD @1.0860`, `SL 1.0850`, `TP 1.0890`.

Most signals have this form, and a hub under load spends its time here. Whatever is not exactly right about a text
makes this return None, and the general path says what it is; a property test holds the two equal on what both accept.
"""

import re
from decimal import Decimal
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
"""A longer text is not the plain base form, and a short one cannot make a pattern slow."""


def parse_base_form(text: str) -> ParsedSignal | None:
    if len(text) > _MAX_CHARS:
        return None
    groups = (1, 2, 3, 4, 5, 6)
    match = _match_stop_loss_first(text)
    if match is None:
        match = _match_take_profit_first(text)
        groups = (1, 2, 3, 4, 6, 5)
    return None if match is None else _build_result(text, match, groups)


def _build_result(text: str, match: re.Match[str], groups: tuple[int, ...]) -> ParsedSignal | None:
    side, symbol, plain, bracketed, stop, target = match.group(*groups)
    instrument = INSTRUMENTS_BY_NAME.get(symbol.upper())
    if instrument is None:
        return None
    entry = plain or bracketed
    signal = Signal(
        side=Side.BUY if side[0] in "bB" else Side.SELL,
        symbol=instrument.name,
        order_type=OrderType.LIMIT if entry else OrderType.MARKET,
        entry=Decimal(entry) if entry else None,
        stop_loss=Decimal(stop),
        take_profits=(Decimal(target),),
    )
    if not _has_valid_levels(signal, instrument):
        return None
    spans = [match.span(group) for group in groups if match.end(group) >= 0]
    return ParsedSignal(
        signal=signal, written_symbol=symbol, known_symbol=True, parts=_build_parts(text, signal, spans)
    )


def _has_valid_levels(signal: Signal, instrument: Instrument) -> bool:
    """Levels in order, within the band, and none ten times another."""
    stop, entry, target = signal.stop_loss, signal.entry, signal.take_profits[0]
    low, high = (stop, target) if signal.side is Side.BUY else (target, stop)
    if entry is not None and not low < entry < high:
        return False
    return low < high < 10 * low and instrument.min_price <= low and high <= instrument.max_price


_PART_KINDS: Final = ("side", "symbol", "entry", "stop_loss", "take_profit")
_PART_KINDS_WITHOUT_ENTRY: Final = ("side", "symbol", "stop_loss", "take_profit")


def _build_parts(text: str, signal: Signal, spans: list[tuple[int, int]]) -> tuple[Part, ...]:
    kinds = _PART_KINDS_WITHOUT_ENTRY if signal.entry is None else _PART_KINDS
    parts = []
    for kind, (start, end) in zip(kinds, spans, strict=True):
        piece = text[start:end]
        value = signal.side.value if kind == "side" else signal.symbol if kind == "symbol" else piece
        line = text.count("\n", 0, start) + 1
        parts.append(Part(kind, line, start - text.rfind("\n", 0, start), end - start, start, piece, value))
    parts.sort(key=_part_start)
    return tuple(parts)


def _part_start(part: Part) -> int:
    return part.start
