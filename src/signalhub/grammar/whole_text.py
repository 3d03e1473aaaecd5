"""Decide what depends on the whole text: the symbol, unexplained numbers, a second signal, and the ignored text."""

import re
from decimal import Decimal
from typing import Final

from signalhub.domain.signal import Side
from signalhub.grammar.lexer import Token
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import Spanned, SymbolMatch
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.source_text import resolve_homoglyphs
from signalhub.grammar.symbols import match_known, match_ticker
from signalhub.grammar.vocabulary import PHRASE_TRIE, TOKEN_KINDS, TokenKind

_SIGNAL_LABEL_KINDS: Final = frozenset(
    {TokenKind.SIDE, TokenKind.ORDER_TYPE, TokenKind.STOP_WORD, TokenKind.SL, TokenKind.TP, TokenKind.ENTRY}
)
_KINDS_BEFORE_SYMBOL: Final = frozenset(
    {TokenKind.ORDER_TYPE, TokenKind.STOP_WORD, TokenKind.FILLER, TokenKind.PRICE_PREFIX}
)
_KINDS_AFTER_SYMBOL: Final = TOKEN_KINDS - {TokenKind.WORD, TokenKind.LINK, TokenKind.FILLER, TokenKind.RANGE_WORD}
_KINDS_BEFORE_ENTRY: Final = frozenset({TokenKind.PRICE_PREFIX, TokenKind.ORDER_TYPE, TokenKind.STOP_WORD})
_PROSE_KINDS: Final = frozenset({TokenKind.WORD, TokenKind.NUMBER})
_WORDS_BY_SIDE: Final = {Side.BUY: frozenset({"BUY", "LONG"}), Side.SELL: frozenset({"SELL", "SHORT"})}
_MAX_SYMBOL_DISTANCE_TOKENS: Final = 5
_MAX_SYMBOL_DISTANCE_CHARS: Final = 16
_MAX_EXAMINED: Final = 25  # levels or restarts: a text with more is refused for that
_MAX_PRICE_RATIO: Final = 2
_COPYRIGHT_LOOKBACK_CHARS: Final = 8
_TRAILING_LINES: Final = re.compile(r"[^\n]*(?:\n(?:[^(A-Za-z\x80-\U0010ffff\n]|\([^()\n]*\))*(?=\n|\Z))*")
"""The rest of the line of the last level, and the lines below it without a word outside brackets."""


def finalize(state: ParserState) -> None:
    # 1. Which words are no labels because of foreign letters, and which word is the symbol.
    if not state.text.source.clean.isascii():
        report_homoglyphs(state)
    choose_symbol(state)
    # 2. Numbers that may be a level which no rule has read.
    if state.unexplained_numbers:
        report_unexplained_numbers(state)
    report_entry_in_note(state)
    # 3. A second signal refuses the text, whatever else was found.
    reject_second_signal(state)
    if state.announced_entry is not None and not state.fields.order_types:
        state.fields.empty_labels.setdefault("entry", state.announced_entry)
    # 4. Last, because the steps before mark tokens as used.
    record_ignored_text(state)


def report_homoglyphs(state: ParserState) -> None:
    """Report words that mix Latin letters with look-alikes, or that look like a label."""
    for token in state.tokens:
        if token.kind != TokenKind.WORD or token.text.isascii() or (latin := resolve_homoglyphs(token.text)) is None:
            continue
        is_mixed = any(char.isascii() for char in token.text)
        node = PHRASE_TRIE.get(latin.upper())
        if is_mixed or (node and node.kind in _SIGNAL_LABEL_KINDS):
            hint = f"Write {latin.upper()} in Latin letters; some here only look so."
            state.fields.add_problem("homoglyph", hint, token.start, token.end)


# The symbol


def choose_symbol(state: ParserState) -> None:
    """Choose known names in the signal first, then the one after `Symbol:`, beside the side, or tagged."""
    fields = state.fields
    # Where the header comes last, the side stands after the levels too.
    end = max(state.signal_end, fields.sides[0].end + _MAX_SYMBOL_DISTANCE_CHARS if fields.sides else 0)
    known = [symbol for symbol in fields.symbols if symbol.start < end or not state.signal_end]
    candidates = known or state.labelled_symbols or find_symbol_near_side(state) or state.tagged_symbols
    fields.symbols = [symbol for symbol in candidates if symbol.start < end or not state.signal_end]
    if known:
        return
    for symbol in fields.symbols[:2]:
        for token in state.tokens:
            if token.start >= symbol.end:
                break
            token.used = token.used or token.start >= symbol.start


def find_symbol_near_side(state: ParserState) -> list[SymbolMatch]:
    for index in state.side_indexes:
        symbol = find_symbol_after_side(state, index) or find_symbol_before_side(state, index)
        if symbol is not None:
            return [symbol]
    return []


def find_symbol_after_side(state: ParserState, side_index: int) -> SymbolMatch | None:
    """Find a ticker after the side, in capitals or in the same small letters as the side."""
    tokens, text, raw = state.tokens, state.text, state.text.source.raw
    index = side_index + 1
    while (
        tokens[index].kind in _KINDS_BEFORE_SYMBOL
        or tokens[index].text in ("#", "$", ":")
        or is_single_line_break(state, index)
    ):
        index += 1
    has_colon = tokens[index + 1].text == ":" and text.is_adjacent(index + 1) and text.is_adjacent(index + 2)
    if has_colon and tokens[index].text.isalpha():
        index += 2  # the exchange
    written = raw[tokens[index].start : tokens[index].end]
    has_case_of_side = written.islower() and raw[tokens[side_index].start].islower()
    if not starts_symbol(state, index) or not (written.isupper() or has_case_of_side):
        return None
    symbol = read_ticker(state, index)
    return symbol if symbol is not None and tokens[symbol.end_index].kind in _KINDS_AFTER_SYMBOL else None


def read_ticker(state: ParserState, index: int) -> SymbolMatch | None:
    symbol = match_ticker(state.text, index)
    if symbol is not None:
        state.apply_symbol(symbol)
    return symbol


def starts_symbol(state: ParserState, index: int) -> bool:
    """Whether this is a word, or a unit that continues as the X in X2Y2USDT does."""
    kind = state.tokens[index].kind
    is_continued = state.text.is_adjacent(index + 1) and state.tokens[index + 1].text.isalnum()
    return kind == TokenKind.WORD or (kind in (TokenKind.UNIT, TokenKind.TIME_UNIT) and is_continued)


def is_single_line_break(state: ParserState, index: int) -> bool:
    token, before = state.tokens[index], state.tokens[index - 1]
    return token.kind == TokenKind.NEWLINE and token.text != "" and before.kind != TokenKind.NEWLINE


def find_symbol_before_side(state: ParserState, side_index: int) -> SymbolMatch | None:
    """Find a ticker in capitals at the start of the line, or alone on the line above."""
    tokens = state.tokens
    index = side_index - 1
    while index > 0 and (
        tokens[index].kind in (TokenKind.NEWLINE, TokenKind.ORDER_TYPE) or tokens[index].text in ("|", "-", ":")
    ):
        index -= 1
    token = tokens[index]
    if index < 0 or token.kind != TokenKind.WORD or not state.text.starts_line(index) or not token.text.isascii():
        return None
    return read_ticker(state, index) if state.text.source.raw[token.start : token.end].isupper() else None


# Numbers that no rule explains


def report_unexplained_numbers(state: ParserState) -> None:
    """Report numbers before the last level, or right after it, that may be a level."""
    entry_values = {
        end.value for entry in state.fields.entries for end in (entry.first, entry.second) if end is not None
    }
    captions_by_line_start: dict[int, bool] = {}
    trailing_numbers = TrailingNumbers(state)
    for number in state.unexplained_numbers:
        is_trailing = number.start >= state.signal_end
        if number.value in entry_values or (is_trailing and not trailing_numbers.may_hold_level(number)):
            continue
        if not is_trailing and is_in_caption(state, number, captions_by_line_start):
            continue
        hint = "Say what this number is, or leave it out: SL, TP or @?"
        state.fields.add_problem("ambiguous_number", hint, number.start, number.end)


def is_in_caption(state: ParserState, number: Number, captions_by_line_start: dict[int, bool]) -> bool:
    """Whether this is a whole number in a line of words above the signal, unlike any of its prices."""
    text = state.text
    line_start = text.find_line_start(number.start)
    if not number.text.isdigit() or line_start >= text.find_line_start(max(state.signal_start, 0)):
        return False
    if line_start not in captions_by_line_start:
        line = text.source.clean[line_start : text.source.clean.find("\n", line_start)]
        captions_by_line_start[line_start] = any(char.isalpha() for char in line)
    if not captions_by_line_start[line_start]:
        return False
    value = Decimal(number.text)  # int() raises an error above 4300 digits
    values = state.fields.level_values[:_MAX_EXAMINED]
    is_out_of_scale = all(level > 10 * value or value > 10 * level for level in values)
    return is_out_of_scale or all("." in level.text for level in state.fields.levels[:_MAX_EXAMINED])


class TrailingNumbers:
    """Numbers after the last level that look like one more: `TP 2353 then 2356`, or `2356` on the next line.

    Text after the last level is ignored, but a take profit that was not read must not be ignored with it.
    """

    def __init__(self, state: ParserState) -> None:
        self._state = state
        values = state.fields.level_values
        self._lowest, self._highest = (min(values), max(values)) if values else (Decimal(0), Decimal(0))
        self._has_whole_price = not all("." in level.text for level in state.fields.levels)
        self._line_end = state.text.find_line_end(state.signal_end)
        rest = _TRAILING_LINES.match(state.text.source.clean, state.signal_end)
        self._trailing_end = rest.end() if rest else state.signal_end
        self._announced_starts = self._find_announced_starts() if not state.fields.entries else frozenset()

    def may_hold_level(self, number: Number) -> bool:
        value = number.value
        before = self._state.text.source.raw[max(0, number.start - _COPYRIGHT_LOOKBACK_CHARS) : number.start]
        is_copyright_year = before.rstrip().endswith("\u00a9")
        if value is None or is_copyright_year:
            return False
        # Between words `2 positions` is no price of EURUSD; alone on a line a 2 may well be one.
        if number.start < self._line_end and not (self._has_whole_price or "." in number.text):
            return False
        if number.start < self._trailing_end:
            return self._lowest / _MAX_PRICE_RATIO < value < self._highest * _MAX_PRICE_RATIO
        return number.start in self._announced_starts and self._lowest < value < self._highest

    def _find_announced_starts(self) -> frozenset[int]:
        """Return the positions of numbers after `from` or `LIMIT` at the start of a line: an entry given last."""
        tokens, text = self._state.tokens, self._state.text
        return frozenset(
            tokens[index + 1].start
            for index in range(text.token_count)
            if tokens[index].kind in _KINDS_BEFORE_ENTRY
            and tokens[index].start > self._state.signal_end
            and text.starts_line(index)
        )


def report_entry_in_note(state: ParserState) -> None:
    """Report a number in a note that lies between the levels, if no entry was read: most likely it is the entry."""
    levels = (*state.fields.stop_losses, *state.fields.take_profits)
    values = [level.value for level in levels if level.value is not None]
    if state.fields.entries or not values:
        return
    low, high = min(values), max(values)
    for number in state.header_note_numbers:
        if number.value is not None and low < number.value < high:
            hint = f"Is {number.text} the entry? Then write @{number.text} behind the symbol."
            state.fields.add_problem("ambiguous_number", hint, number.start, number.end)


# A second signal


def reject_second_signal(state: ParserState) -> None:
    """Refuse a text in which a side or symbol after a complete signal begins another one."""
    for index in state.restart_indexes[:_MAX_EXAMINED]:
        token = state.tokens[index]
        # Before the last level it has levels of its own; after it, it must name another trade.
        if token.start < state.signal_end or (token.kind == TokenKind.SIDE and names_other_trade(state, index)):
            state.fields.reject("multiple_signals", "Send one signal a message.", token.start, token.end)
            return


def names_other_trade(state: ParserState, index: int) -> bool:
    """Whether this is `SELL GBPUSD` or a lone `SELL` after a BUY, as opposed to `good buy`."""
    tokens = state.tokens
    restarts = state.restart_indexes[:_MAX_EXAMINED]
    nearby = [index + 1, *(other for other in restarts if index - _MAX_SYMBOL_DISTANCE_TOKENS < other < index)]
    named = [symbol for other in nearby if (symbol := match_known(state.text, other))]
    for symbol in named:
        state.apply_symbol(symbol)
    is_other_side = tokens[index].text not in _WORDS_BY_SIDE[state.fields.sides[0].value]
    if named:
        return is_other_side or named[0].name not in [symbol.name for symbol in state.fields.symbols[:1]]
    is_alone = (
        tokens[index - 1].kind in (TokenKind.NEWLINE, TokenKind.NUMBER) and tokens[index + 1].kind == TokenKind.NEWLINE
    )
    return is_other_side and is_alone


# The ignored text


def record_ignored_text(state: ParserState) -> None:
    """Record every word and number that no rule has used, line by line. Of labels only those after the signal."""
    first = last = None
    # Local names, because this loop runs for every token.
    mark_kind, newline_kind = TokenKind.MARK, TokenKind.NEWLINE
    for token in state.tokens[: state.text.token_count + 1]:
        kind = token.kind
        if kind == mark_kind:
            continue
        if kind != newline_kind and not token.used and (kind in _PROSE_KINDS or token.start >= state.signal_end):
            first, last = first or token, token
        elif first is not None and last is not None:
            state.fields.ignored.append(Spanned(explain_ignored(state, first), first.start, last.end))
            first = last = None


def explain_ignored(state: ParserState, token: Token) -> str:
    if token.start < state.signal_start:
        return "It comes before the signal."
    # A text without a level has an end all the same, behind a price that could not be read.
    if token.start >= state.signal_end and (state.has_levels or state.fields.entries):
        return "It comes after the last level."
    return "It has no meaning in a signal."
