"""The base form, read in one look: `BUY EURUSD @1.0860`, `SL 1.0850`, `TP 1.0890`.

Most signals have this form, and a hub under load spends its time here. Whatever is not exactly right about a text
makes this return None, and the general path says what it is; a property test holds the two equal on what both accept.
"""

import re
from decimal import Decimal
from typing import Final

from signalhub.domain.signal import OrderType, Side, Signal
from signalhub.grammar.instruments import KNOWN, Instrument
from signalhub.grammar.results import Part, Understood

_PRICE: Final = r"([1-9][0-9]{0,9}(?:\.[0-9]{1,10})?|0\.[0-9]{1,10})"
_GAP: Final = r"[ \t]*(?:\r?\n[ \t]*)+|[ \t]+"
_HEAD: Final = rf"[ \t\r\n]*(buy|sell)[ \t]+([a-z]{{3,10}})(?:[ \t]+(?:@[ \t]?{_PRICE}|\[@{_PRICE}\]))?(?:{_GAP})"
_TAIL: Final = r"[ \t\r\n]*"
_STOP_FIRST: Final = rf"{_HEAD}sl[ \t]+{_PRICE}(?:{_GAP})tp[ \t]+{_PRICE}{_TAIL}"
_TARGET_FIRST: Final = rf"{_HEAD}tp[ \t]+{_PRICE}(?:{_GAP})sl[ \t]+{_PRICE}{_TAIL}"

_stop_first: Final = re.compile(_STOP_FIRST, re.ASCII | re.IGNORECASE).fullmatch
_target_first: Final = re.compile(_TARGET_FIRST, re.ASCII | re.IGNORECASE).fullmatch

_LONGEST: Final = 200
"""A longer text is not the plain base form, and a short one cannot make a pattern slow."""


def read(text: str) -> Understood | None:
    if len(text) > _LONGEST:
        return None
    groups = (1, 2, 3, 4, 5, 6)
    match = _stop_first(text)
    if match is None:
        match = _target_first(text)
        groups = (1, 2, 3, 4, 6, 5)
    return None if match is None else _understand(text, match, groups)


def _understand(text: str, match: re.Match[str], groups: tuple[int, ...]) -> Understood | None:
    side, symbol, plain, bracketed, stop, target = match.group(*groups)
    instrument = KNOWN.get(symbol.upper())
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
    if not _is_sound(signal, instrument):
        return None
    spans = [match.span(group) for group in groups if match.end(group) >= 0]
    return Understood(signal=signal, written_symbol=symbol, known_symbol=True, parts=_parts(text, signal, spans))


def _is_sound(signal: Signal, instrument: Instrument) -> bool:
    """Levels in order, within the band, and none ten times another."""
    stop, entry, target = signal.stop_loss, signal.entry, signal.take_profits[0]
    low, high = (stop, target) if signal.side is Side.BUY else (target, stop)
    if entry is not None and not low < entry < high:
        return False
    return low < high < 10 * low and instrument.low <= low and high <= instrument.high


_KINDS: Final = ("side", "symbol", "entry", "stop_loss", "take_profit")
_KINDS_WITHOUT_ENTRY: Final = ("side", "symbol", "stop_loss", "take_profit")


def _parts(text: str, signal: Signal, spans: list[tuple[int, int]]) -> tuple[Part, ...]:
    kinds = _KINDS_WITHOUT_ENTRY if signal.entry is None else _KINDS
    parts = []
    for kind, (start, end) in zip(kinds, spans, strict=True):
        piece = text[start:end]
        value = signal.side.value if kind == "side" else signal.symbol if kind == "symbol" else piece
        line = text.count("\n", 0, start) + 1
        parts.append(Part(kind, line, start - text.rfind("\n", 0, start), end - start, start, piece, value))
    parts.sort(key=_start)
    return tuple(parts)


def _start(part: Part) -> int:
    return part.start
