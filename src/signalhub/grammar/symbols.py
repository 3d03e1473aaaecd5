"""Reading the name of an instrument: `EURUSD`, `eur/usd`, `#BTC/USDT`, `OANDA:XAUUSD`, `US30.cash`, `XAUUSDm`, `GOLD`.

A known name counts wherever it stands in the signal. An unknown one counts only where a symbol belongs: beside the
side, behind `Symbol:`, or as the only tag.
"""

import re
from typing import Final

from signalhub.domain.instruments import COINS, CURRENCIES, INSTRUMENTS_BY_NAME, METALS, QUOTE_CURRENCIES
from signalhub.grammar.parsed_fields import ParsedFields, SymbolMatch
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.source_text import SourceText
from signalhub.grammar.vocabulary import TokenKind

MAX_SYMBOL_CHARS: Final = 12

_BASE_CODES: Final = CURRENCIES | METALS | COINS
_UNSLASHED_QUOTES: Final = CURRENCIES | {"USDT"}
_BROKER_SUFFIXES: Final = frozenset("M C I R P PRO ECN RAW STD MICRO CASH SPOT PERP FX".split())  # noqa: SIM905
_DROPPED_SUFFIXES: Final = frozenset({"PRO", "CASH", "RAW", "ECN", "PERP", "STD", "SPOT", "MICRO", "P", "M"})
_TICKER: Final = re.compile(r"[A-Z][A-Z0-9]*(?:\.[A-Z]{1,2}|!)?", re.ASCII)
_ALLOWED_NEXT_CHARS: Final = frozenset("@:,;/|()[].-!?*#&~_+$ \t\r\n")
_NON_SYMBOL_WORD_LIST: Final = """
SIGNAL SIGNALS FREE VIP FOREX CRYPTO FUTURES SPOT SCALP SCALPING SWING TRADING TRADE ALERT NEW UPDATE IT THIS THAT SOME
MORE TODAY ENTRY SETUP COMEX BINANCE BYBIT KUCOIN BITTREX OANDA FX INTRADAY ZONE LIMIT STOP GOOD STRONG ANOTHER BEST
QUICK HIGH LOW RISK DAY DIP DIPS BREAKOUT RETEST PULLBACK IDEA CALL CALLS ORDER ORDERS PREMIUM NEXT FIRST SECOND
"""
_NON_SYMBOL_WORDS: Final = frozenset(_NON_SYMBOL_WORD_LIST.split())
_DIGIT_NAME_PREFIXES: Final = {
    re.sub(r"(?<=[0-9][A-Z]).*", "", name) for name in INSTRUMENTS_BY_NAME if name[0].isdigit()
}
"""Of names such as 1INCHUSDT, up to the first letter: `1I`."""

_PAIR_SEPARATORS: Final = frozenset({"/", "-", "_"})


def match_known(state: ParserState, index: int) -> tuple[SymbolMatch, int] | None:
    """The known instrument that begins at the word `at`, and the index behind it."""
    text, behind = join_word(state, index)
    instrument = INSTRUMENTS_BY_NAME.get(text)
    if instrument is None and state.tokens[index].text in INSTRUMENTS_BY_NAME:  # `GOLD2345`: a price hangs on the name
        instrument, behind = INSTRUMENTS_BY_NAME[state.tokens[index].text], index + 1
    if instrument is None:
        return _match_pair(state, index) or _match_suffixed(state, index, text, behind)
    behind = _skip_suffix(state, behind)
    return _build_symbol(state, index, behind, instrument.name), behind


def can_start_known_symbol(state: ParserState, index: int) -> bool:
    """Whether the number at `at` could be the first part of a known name, as in 1INCHUSDT."""
    following = state.tokens[index + 1]
    return (
        following.kind == TokenKind.WORD
        and state.tokens[index].text + following.text[:1] in _DIGIT_NAME_PREFIXES
        and state.is_adjacent(index + 1)
    )


def join_word(state: ParserState, index: int) -> tuple[str, int]:
    """A word with the digits that hang on it: US30, NAS100, 1INCHUSDT."""
    if state.cached_word[0] != index:
        state.cached_word = index, *_join_word(state, index)
    return state.cached_word[1:]


def _join_word(state: ParserState, index: int) -> tuple[str, int]:
    tokens, text = state.tokens, state.tokens[index].text
    end = tokens[index].end
    index += 1
    while tokens[index].start == end and tokens[index].text.isalnum() and len(text) <= MAX_SYMBOL_CHARS:
        text += tokens[index].text
        end = tokens[index].end
        index += 1
    return text.upper(), index


def _match_pair(state: ParserState, index: int) -> tuple[SymbolMatch, int] | None:
    """`EUR USD`, `XAU-USD`, `ETH / BTC`: two codes that make one name."""
    base, joint = state.tokens[index], state.tokens[index + 1]
    if base.text not in _BASE_CODES:
        return None
    behind = index + 2 if joint.text in _PAIR_SEPARATORS else index + 1
    quote = state.tokens[behind].text
    if quote not in (QUOTE_CURRENCIES if joint.text == "/" else _UNSLASHED_QUOTES) or base.text == quote:
        return None
    if joint.text == quote and state.tokens[behind + 1].text in CURRENCIES:
        start, end = base.start, state.tokens[behind + 1].end
        state.fields.add_problem("no_symbol", "Write one symbol: a pair is two currencies.", start, end)
    behind = _skip_suffix(state, behind + 1)
    return _build_symbol(state, index, behind, base.text + quote), behind


def match_slashed_pair(state: ParserState, slash_index: int) -> tuple[SymbolMatch, int] | None:
    """`HIGH/USDT`, whatever the base: the slash before a quote currency says what it is. `at` is the slash."""
    base, quote = state.tokens[slash_index - 1], state.tokens[slash_index + 1]
    if slash_index == 0 or quote.text not in QUOTE_CURRENCIES or not base.text.isascii() or not base.text.isalnum():
        return None
    first = slash_index - 1
    while state.is_adjacent(first) and state.tokens[first - 1].text.isalnum():
        first -= 1
    name = "".join(token.text for token in state.tokens[first:slash_index]) + quote.text
    if not _TICKER.fullmatch(name) or name[: -len(quote.text)].isdigit() or len(name) > MAX_SYMBOL_CHARS:
        return None
    return _build_symbol(state, first, slash_index + 2, name), slash_index + 2


def _match_suffixed(state: ParserState, index: int, text: str, end_index: int) -> tuple[SymbolMatch, int] | None:
    """A broker's letters glued to a known name: XAUUSDm."""
    for length in (1, 3, 2, 4, 5):
        if text[-length:] in _BROKER_SUFFIXES and (instrument := INSTRUMENTS_BY_NAME.get(text[:-length])):
            return _build_symbol(state, index, end_index, instrument.name), end_index
    return None


def _skip_suffix(state: ParserState, index: int) -> int:
    """Over `.m`, `.pro`, `-ECN`, `_i`."""
    mark, suffix = state.tokens[index], state.tokens[index + 1]
    if (
        mark.text not in (".", "-", "_")
        or not (state.is_adjacent(index) and state.is_adjacent(index + 1))
        or not suffix.text.isalpha()
    ):
        return index
    is_suffix = suffix.text in _BROKER_SUFFIXES or (
        mark.text == "." and suffix.kind == TokenKind.WORD and len(suffix.text) <= 6  # noqa: PLR2004 - longer endings are words
    )
    return index + 2 if is_suffix else index


def match_ticker(state: ParserState, index: int) -> tuple[SymbolMatch, int] | None:
    """Any ticker-shaped word at `at`, with its suffix dropped if it is one that is never part of a ticker."""
    text, behind = join_word(state, index)
    mark, suffix = state.tokens[behind], state.tokens[behind + 1]
    if mark.text == "!" and state.is_adjacent(behind) and text[-1:].isdigit():
        text, behind = text + "!", behind + 1
    elif mark.text == "." and state.is_adjacent(behind) and state.is_adjacent(behind + 1) and suffix.text.isalpha():
        behind += 2
        text += "" if suffix.text in _DROPPED_SUFFIXES else f".{suffix.text}"
    if len(text) > MAX_SYMBOL_CHARS or not _TICKER.fullmatch(text) or text in _NON_SYMBOL_WORDS:
        return None
    return _build_symbol(state, index, behind, text), behind


def parse_symbol(written: str, start: int) -> SymbolMatch | None:
    """The name in a field that holds nothing else."""
    exchange = written.find(":") + 1
    m = ParserState(ParsedFields(SourceText(written[exchange:])))
    read = match_known(m, 0) or (match_slashed_pair(m, 1) if m.tokens[1].text == "/" else None) or match_ticker(m, 0)
    if read is None or read[1] != m.token_count or m.fields.problems:
        return None
    return SymbolMatch(read[0].name, written, start, start + len(written), read[0].instrument)


def _build_symbol(state: ParserState, start_index: int, end_index: int, name: str) -> SymbolMatch:
    start, end = state.tokens[start_index].start, state.tokens[end_index - 1].end
    exchange, colon = state.tokens[start_index - 2], state.tokens[start_index - 1]
    if (
        start_index > 1
        and colon.text == ":"
        and state.is_adjacent(start_index)
        and state.is_adjacent(start_index - 1)
        and exchange.kind == TokenKind.WORD
    ):
        start = exchange.start
        exchange.used = True
    if state.source.clean[end : end + 1] and state.source.clean[end] not in _ALLOWED_NEXT_CHARS:
        run = state.find_run_end(start)
        state.fields.add_problem("no_symbol", "Write the symbol in letters and digits only, like EURUSD.", start, run)
    return SymbolMatch(name, state.source.raw[start:end], start, end, INSTRUMENTS_BY_NAME.get(name))
