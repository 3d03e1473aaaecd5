"""Match symbols: `EURUSD`, `eur/usd`, `#BTC/USDT`, `OANDA:XAUUSD`, `US30.cash`, `XAUUSDm`, `GOLD`.

A known name counts anywhere in the signal. An unknown one counts only where a symbol belongs: beside the side, after
`Symbol:`, or as the only tag.
"""

import re
from typing import Final

from signalhub.domain.instruments import COINS, CURRENCIES, INSTRUMENTS_BY_NAME, METALS, QUOTE_CURRENCIES
from signalhub.grammar.lexer import Token
from signalhub.grammar.parsed_fields import ProblemArguments, SymbolMatch
from signalhub.grammar.parser_state import TokenizedText
from signalhub.grammar.source_text import SourceText
from signalhub.grammar.vocabulary import TokenKind

MAX_SYMBOL_CHARS: Final = 12

_BASE_CODES: Final = CURRENCIES | METALS | COINS
_UNSLASHED_QUOTES: Final = CURRENCIES | {"USDT"}
_BROKER_SUFFIXES: Final = frozenset("M C I R P PRO ECN RAW STD MICRO CASH SPOT PERP FX".split())  # noqa: SIM905
_DROPPED_SUFFIXES: Final = frozenset({"PRO", "CASH", "RAW", "ECN", "PERP", "STD", "SPOT", "MICRO", "P", "M"})
_BROKER_SUFFIX_LENGTHS: Final = (1, 3, 2, 4, 5)  # most frequent first
_MAX_UNKNOWN_SUFFIX_CHARS: Final = 6  # a longer ending after a point is a word
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
"""Known names that begin with a digit, up to their first letter: `1I` for 1INCHUSDT."""

_PAIR_SEPARATORS: Final = frozenset({"/", "-", "_"})

JoinedWord = tuple[str, int]
"""A word in capitals with the digits and letters glued to it, and the index after it."""


def join_word(tokens: list[Token], index: int) -> JoinedWord:
    """Join the tokens of US30, NAS100 or 1INCHUSDT. Stops at 12 characters: a longer name is no symbol."""
    text, end = tokens[index].text, tokens[index].end
    index += 1
    while tokens[index].start == end and tokens[index].text.isalnum() and len(text) <= MAX_SYMBOL_CHARS:
        text += tokens[index].text
        end = tokens[index].end
        index += 1
    return text.upper(), index


def match_known(text: TokenizedText, index: int, word: JoinedWord | None = None) -> SymbolMatch | None:
    """Match a known instrument that begins at a word. `word` is `join_word` of it, for callers that have it."""
    tokens = text.tokens
    name, end_index = word or join_word(tokens, index)
    instrument = INSTRUMENTS_BY_NAME.get(name)
    if instrument is None and tokens[index].text in INSTRUMENTS_BY_NAME:  # `GOLD2345`: the price follows without a gap
        instrument, end_index = INSTRUMENTS_BY_NAME[tokens[index].text], index + 1
    if instrument is None:
        return match_pair(text, index) or match_suffixed(text, index, name, end_index)
    return build_symbol(text, index, skip_suffix(text, end_index), instrument.name)


def can_start_known_symbol(text: TokenizedText, index: int) -> bool:
    """Whether the number could be the first part of a known name, as in 1INCHUSDT."""
    following = text.tokens[index + 1]
    return (
        following.kind == TokenKind.WORD
        and text.tokens[index].text + following.text[:1] in _DIGIT_NAME_PREFIXES
        and text.is_adjacent(index + 1)
    )


def match_pair(text: TokenizedText, index: int) -> SymbolMatch | None:
    """Match `EUR USD`, `XAU-USD`, `ETH / BTC`: two codes that make one name."""
    tokens = text.tokens
    base, separator = tokens[index], tokens[index + 1]
    if base.text not in _BASE_CODES:
        return None
    end_index = index + 2 if separator.text in _PAIR_SEPARATORS else index + 1
    quote = tokens[end_index].text
    if quote not in (QUOTE_CURRENCIES if separator.text == "/" else _UNSLASHED_QUOTES) or base.text == quote:
        return None
    problems: tuple[ProblemArguments, ...] = ()
    if separator.text == quote and tokens[end_index + 1].text in CURRENCIES:  # three codes in a row
        hint = "Write one symbol: a pair is two currencies."
        problems = (("no_symbol", hint, base.start, tokens[end_index + 1].end),)
    return build_symbol(text, index, skip_suffix(text, end_index + 1), base.text + quote, problems)


def match_slashed_pair(text: TokenizedText, slash_index: int) -> SymbolMatch | None:
    """Match `HIGH/USDT` around its slash: before a quote currency any base is a symbol."""
    tokens = text.tokens
    base, quote = tokens[slash_index - 1], tokens[slash_index + 1]
    if slash_index == 0 or quote.text not in QUOTE_CURRENCIES or not base.text.isascii() or not base.text.isalnum():
        return None
    start_index = slash_index - 1
    while text.is_adjacent(start_index) and tokens[start_index - 1].text.isalnum():
        start_index -= 1
    name = "".join(token.text for token in tokens[start_index:slash_index]) + quote.text
    if not _TICKER.fullmatch(name) or name[: -len(quote.text)].isdigit() or len(name) > MAX_SYMBOL_CHARS:
        return None
    return build_symbol(text, start_index, slash_index + 2, name)


def match_suffixed(text: TokenizedText, index: int, word: str, end_index: int) -> SymbolMatch | None:
    """Match a known name with a broker's suffix glued to it: XAUUSDm."""
    for length in _BROKER_SUFFIX_LENGTHS:
        if word[-length:] in _BROKER_SUFFIXES and (instrument := INSTRUMENTS_BY_NAME.get(word[:-length])):
            return build_symbol(text, index, end_index, instrument.name)
    return None


def skip_suffix(text: TokenizedText, index: int) -> int:
    """Return the index after `.m`, `.pro`, `-ECN` or `_i`."""
    mark, suffix = text.tokens[index], text.tokens[index + 1]
    if (
        mark.text not in (".", "-", "_")
        or not (text.is_adjacent(index) and text.is_adjacent(index + 1))
        or not suffix.text.isalpha()
    ):
        return index
    is_suffix = suffix.text in _BROKER_SUFFIXES or (
        mark.text == "." and suffix.kind == TokenKind.WORD and len(suffix.text) <= _MAX_UNKNOWN_SUFFIX_CHARS
    )
    return index + 2 if is_suffix else index


def match_ticker(text: TokenizedText, index: int, word: JoinedWord | None = None) -> SymbolMatch | None:
    """Match any word with the form of a ticker, without a suffix that is never part of one."""
    name, end_index = word or join_word(text.tokens, index)
    mark, suffix = text.tokens[end_index], text.tokens[end_index + 1]
    if mark.text == "!" and text.is_adjacent(end_index) and name[-1:].isdigit():
        name, end_index = name + "!", end_index + 1
    elif mark.text == "." and text.is_adjacent(end_index) and text.is_adjacent(end_index + 1) and suffix.text.isalpha():
        end_index += 2
        name += "" if suffix.text in _DROPPED_SUFFIXES else f".{suffix.text}"
    if len(name) > MAX_SYMBOL_CHARS or not _TICKER.fullmatch(name) or name in _NON_SYMBOL_WORDS:
        return None
    return build_symbol(text, index, end_index, name)


def parse_symbol(written: str, start: int) -> SymbolMatch | None:
    """Parse the symbol in a field that holds nothing else. `start` is the position of the field in the text."""
    exchange_end = written.find(":") + 1
    text = TokenizedText.from_source(SourceText(written[exchange_end:]))
    symbol = (
        match_known(text, 0)
        or (match_slashed_pair(text, 1) if text.tokens[1].text == "/" else None)
        or match_ticker(text, 0)
    )
    if symbol is None or symbol.end_index != text.token_count or symbol.problems:
        return None
    return SymbolMatch(symbol.name, start, start + len(written), symbol.instrument)


def build_symbol(
    text: TokenizedText, start_index: int, end_index: int, name: str, problems: tuple[ProblemArguments, ...] = ()
) -> SymbolMatch:
    """Build the match of a name, with the exchange before it and a problem if a strange character follows it."""
    tokens, source = text.tokens, text.source
    start, end = tokens[start_index].start, tokens[end_index - 1].end
    exchange_index = -1
    if (
        start_index > 1
        and tokens[start_index - 1].text == ":"
        and text.is_adjacent(start_index)
        and text.is_adjacent(start_index - 1)
        and tokens[start_index - 2].kind == TokenKind.WORD
    ):
        exchange_index = start_index - 2
        start = tokens[exchange_index].start
    if source.clean[end : end + 1] and source.clean[end] not in _ALLOWED_NEXT_CHARS:
        hint = "Write the symbol in letters and digits only, like EURUSD."
        problems += (("no_symbol", hint, start, text.find_run_end(start)),)
    return SymbolMatch(name, start, end, INSTRUMENTS_BY_NAME.get(name), end_index, exchange_index, problems)
