"""Reading the name of an instrument: `EURUSD`, `eur/usd`, `#BTC/USDT`, `OANDA:XAUUSD`, `US30.cash`, `XAUUSDm`, `GOLD`.

A known name counts wherever it stands in the signal. An unknown one counts only where a symbol belongs: beside the
side, behind `Symbol:`, or as the only tag.
"""

import re
from typing import Final

from signalhub.grammar.draft import Draft, Name
from signalhub.grammar.instruments import COINS, CURRENCIES, KNOWN, METALS, QUOTES
from signalhub.grammar.message import Message
from signalhub.grammar.text import Text
from signalhub.grammar.vocabulary import Kind

LONGEST: Final = 12

_CODES: Final = CURRENCIES | METALS | COINS
_SPOKEN_QUOTES: Final = CURRENCIES | {"USDT"}
_SUFFIXES: Final = frozenset("M C I R P PRO ECN RAW STD MICRO CASH SPOT PERP FX".split())  # noqa: SIM905
_LONG_SUFFIXES: Final = frozenset({"PRO", "CASH", "RAW", "ECN", "PERP", "STD", "SPOT", "MICRO", "P", "M"})
_TICKER: Final = re.compile(r"[A-Z][A-Z0-9]*(?:\.[A-Z]{1,2}|!)?", re.ASCII)
_MAY_FOLLOW: Final = frozenset("@:,;/|()[].-!?*#&~_+$ \t\r\n")
_NAMELESS_WORDS: Final = """
SIGNAL SIGNALS FREE VIP FOREX CRYPTO FUTURES SPOT SCALP SCALPING SWING TRADING TRADE ALERT NEW UPDATE IT THIS THAT SOME
MORE TODAY ENTRY SETUP COMEX BINANCE BYBIT KUCOIN BITTREX OANDA FX INTRADAY ZONE LIMIT STOP GOOD STRONG ANOTHER BEST
QUICK HIGH LOW RISK DAY DIP DIPS BREAKOUT RETEST PULLBACK IDEA CALL CALLS ORDER ORDERS PREMIUM NEXT FIRST SECOND
"""
_NAMELESS: Final = frozenset(_NAMELESS_WORDS.split())
_BEGINNINGS: Final = {re.sub(r"(?<=[0-9][A-Z]).*", "", name) for name in KNOWN if name[0].isdigit()}
"""Of names such as 1INCHUSDT, up to the first letter: `1I`."""

_JOINERS: Final = frozenset({"/", "-", "_"})


def known(m: Message, at: int) -> tuple[Name, int] | None:
    """The known instrument that begins at the word `at`, and the index behind it."""
    text, behind = glued(m, at)
    instrument = KNOWN.get(text)
    if instrument is None and m.tokens[at].text in KNOWN:  # `GOLD2345`: a price hangs on the name
        instrument, behind = KNOWN[m.tokens[at].text], at + 1
    if instrument is None:
        return _pair(m, at) or _suffixed(m, at, text, behind)
    behind = _behind_suffix(m, behind)
    return _name(m, at, behind, instrument.name), behind


def may_begin_with(m: Message, at: int) -> bool:
    """Whether the number at `at` could be the first part of a known name, as in 1INCHUSDT."""
    following = m.tokens[at + 1]
    return following.kind == Kind.WORD and m.tokens[at].text + following.text[:1] in _BEGINNINGS and m.is_glued(at + 1)


def glued(m: Message, at: int) -> tuple[str, int]:
    """A word with the digits that hang on it: US30, NAS100, 1INCHUSDT."""
    if m.glued[0] != at:
        m.glued = at, *_glued(m, at)
    return m.glued[1:]


def _glued(m: Message, at: int) -> tuple[str, int]:
    tokens, text = m.tokens, m.tokens[at].text
    end = tokens[at].end
    at += 1
    while tokens[at].start == end and tokens[at].text.isalnum() and len(text) <= LONGEST:
        text += tokens[at].text
        end = tokens[at].end
        at += 1
    return text.upper(), at


def _pair(m: Message, at: int) -> tuple[Name, int] | None:
    """`EUR USD`, `XAU-USD`, `ETH / BTC`: two codes that make one name."""
    base, joint = m.tokens[at], m.tokens[at + 1]
    if base.text not in _CODES:
        return None
    behind = at + 2 if joint.text in _JOINERS else at + 1
    quote = m.tokens[behind].text
    if quote not in (QUOTES if joint.text == "/" else _SPOKEN_QUOTES) or base.text == quote:
        return None
    if joint.text == quote and m.tokens[behind + 1].text in CURRENCIES:
        start, end = base.start, m.tokens[behind + 1].end
        m.draft.fault("no_symbol", "Write one symbol: a pair is two currencies.", start, end)
    behind = _behind_suffix(m, behind + 1)
    return _name(m, at, behind, base.text + quote), behind


def slashed(m: Message, at: int) -> tuple[Name, int] | None:
    """`HIGH/USDT`, whatever the base: the slash before a quote currency says what it is. `at` is the slash."""
    base, quote = m.tokens[at - 1], m.tokens[at + 1]
    if at == 0 or quote.text not in QUOTES or not base.text.isascii() or not base.text.isalnum():
        return None
    first = at - 1
    while m.is_glued(first) and m.tokens[first - 1].text.isalnum():
        first -= 1
    name = "".join(token.text for token in m.tokens[first:at]) + quote.text
    if not _TICKER.fullmatch(name) or name[: -len(quote.text)].isdigit() or len(name) > LONGEST:
        return None
    return _name(m, first, at + 2, name), at + 2


def _suffixed(m: Message, at: int, text: str, behind: int) -> tuple[Name, int] | None:
    """A broker's letters glued to a known name: XAUUSDm."""
    for length in (1, 3, 2, 4, 5):
        if text[-length:] in _SUFFIXES and (instrument := KNOWN.get(text[:-length])):
            return _name(m, at, behind, instrument.name), behind
    return None


def _behind_suffix(m: Message, at: int) -> int:
    """Over `.m`, `.pro`, `-ECN`, `_i`."""
    mark, suffix = m.tokens[at], m.tokens[at + 1]
    if mark.text not in (".", "-", "_") or not (m.is_glued(at) and m.is_glued(at + 1)) or not suffix.text.isalpha():
        return at
    is_suffix = suffix.text in _SUFFIXES or (mark.text == "." and suffix.kind == Kind.WORD and len(suffix.text) <= 6)  # noqa: PLR2004
    return at + 2 if is_suffix else at


def unknown(m: Message, at: int) -> tuple[Name, int] | None:
    """Any ticker-shaped word at `at`, with its suffix dropped if it is one that is never part of a ticker."""
    text, behind = glued(m, at)
    mark, suffix = m.tokens[behind], m.tokens[behind + 1]
    if mark.text == "!" and m.is_glued(behind) and text[-1:].isdigit():
        text, behind = text + "!", behind + 1
    elif mark.text == "." and m.is_glued(behind) and m.is_glued(behind + 1) and suffix.text.isalpha():
        behind += 2
        text += "" if suffix.text in _LONG_SUFFIXES else f".{suffix.text}"
    if len(text) > LONGEST or not _TICKER.fullmatch(text) or text in _NAMELESS:
        return None
    return _name(m, at, behind, text), behind


def single(written: str, start: int) -> Name | None:
    """The name in a field that holds nothing else."""
    exchange = written.find(":") + 1
    m = Message(Draft(Text(written[exchange:])))
    read = known(m, 0) or (slashed(m, 1) if m.tokens[1].text == "/" else None) or unknown(m, 0)
    if read is None or read[1] != m.size or m.draft.problems:
        return None
    return Name(read[0].name, written, start, start + len(written), read[0].instrument)


def _name(m: Message, first: int, behind: int, name: str) -> Name:
    start, end = m.tokens[first].start, m.tokens[behind - 1].end
    exchange, colon = m.tokens[first - 2], m.tokens[first - 1]
    if first > 1 and colon.text == ":" and m.is_glued(first) and m.is_glued(first - 1) and exchange.kind == Kind.WORD:
        start = exchange.start
        exchange.used = True
    if m.text.clean[end : end + 1] and m.text.clean[end] not in _MAY_FOLLOW:
        run = m.run_from(start)
        m.draft.fault("no_symbol", "Write the symbol in letters and digits only, like EURUSD.", start, run)
    return Name(name, m.text.raw[start:end], start, end, KNOWN.get(name))
