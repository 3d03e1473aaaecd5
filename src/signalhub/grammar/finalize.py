"""What can be said of a text only when all of it is read: which name counts, which numbers stay unexplained, what the
text is about.


Numbers right behind the last level that look like one more: `TP 2353 then 2356`, or `2356` alone on the next line.

What comes after the last level is ignored, but a target nobody read must not get lost with it.
"""

import re
from decimal import Decimal
from typing import Final

from signalhub.domain.signal import Side
from signalhub.grammar import symbols
from signalhub.grammar.lexer import Token
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import Spanned, SymbolMatch
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.source_text import resolve_homoglyphs
from signalhub.grammar.vocabulary import PHRASE_TRIE, TOKEN_KINDS, TokenKind

_SIGNAL_LABEL_KINDS: Final = frozenset(
    {TokenKind.SIDE, TokenKind.ORDER_TYPE, TokenKind.STOP_WORD, TokenKind.SL, TokenKind.TP, TokenKind.ENTRY}
)
_KINDS_AFTER_SYMBOL: Final = TOKEN_KINDS - {TokenKind.WORD, TokenKind.LINK, TokenKind.FILLER, TokenKind.RANGE_WORD}
_MAX_SYMBOL_DISTANCE_TOKENS: Final = 5  # tokens from a name to its side
_MAX_SYMBOL_DISTANCE_CHARS: Final = 16  # characters
_MAX_EXAMINED: Final = 25  # levels: a text with more is refused for that
_PROSE_KINDS: Final = frozenset({TokenKind.WORD, TokenKind.NUMBER})
_WORDS_BY_SIDE: Final = {Side.BUY: frozenset({"BUY", "LONG"}), Side.SELL: frozenset({"SELL", "SHORT"})}
_KINDS_BEFORE_SYMBOL: Final = frozenset(
    {TokenKind.ORDER_TYPE, TokenKind.STOP_WORD, TokenKind.FILLER, TokenKind.PRICE_PREFIX}
)


def finalize(state: ParserState) -> None:
    if not state.source.clean.isascii():
        _report_homoglyphs(state)
    _choose_symbol(state)
    _report_unexplained_numbers(state)
    _report_entry_in_note(state)
    _reject_second_signal(state)
    if state.announced_entry is not None and not state.fields.order_types:
        state.fields.empty_labels.setdefault("entry", state.announced_entry)
    _record_ignored_text(state)


def _report_homoglyphs(state: ParserState) -> None:
    for token in state.tokens:
        if token.kind != TokenKind.WORD or token.text.isascii() or (latin := resolve_homoglyphs(token.text)) is None:
            continue
        is_mixed = any(char.isascii() for char in token.text)
        branch = PHRASE_TRIE.get(latin.upper())
        if is_mixed or (branch and branch.kind in _SIGNAL_LABEL_KINDS):
            state.fields.add_problem(
                "homoglyph", f"Write {latin.upper()} in Latin letters; some here only look so.", token.start, token.end
            )


def _choose_symbol(state: ParserState) -> None:
    """Known names in the signal come first, then the one behind `Symbol:`, beside the side, or tagged."""
    # Where the header comes last, the side stands behind the levels as well.
    end = max(state.signal_end, state.fields.sides[0].end + _MAX_SYMBOL_DISTANCE_CHARS if state.fields.sides else 0)
    names = [name for name in state.fields.symbols if name.start < end or not state.signal_end]
    candidates = names or state.labelled_symbols or _find_symbol_near_side(state) or state.tagged_symbols
    state.fields.symbols = [name for name in candidates if name.start < end or not state.signal_end]
    if not names:
        for name in state.fields.symbols[:2]:
            _mark_symbol_used(state, name)


def _mark_symbol_used(state: ParserState, symbol: SymbolMatch) -> None:
    for token in state.tokens:
        if token.start >= symbol.end:
            return
        token.used = token.used or token.start >= symbol.start


def _find_symbol_near_side(state: ParserState) -> list[SymbolMatch]:
    for at in state.side_indexes:
        name = _read_symbol_after_side(state, at) or _read_symbol_before_side(state, at)
        if name is not None:
            return [name]
    return []


def _read_symbol_after_side(state: ParserState, side_index: int) -> SymbolMatch | None:
    at = side_index + 1
    while (
        state.tokens[at].kind in _KINDS_BEFORE_SYMBOL
        or state.tokens[at].text in ("#", "$", ":")
        or _is_single_line_break(state, at)
    ):
        at += 1
    if (
        state.tokens[at].text.isalpha()
        and state.tokens[at + 1].text == ":"
        and state.is_adjacent(at + 1)
        and state.is_adjacent(at + 2)
    ):
        at += 2  # the exchange
    raw = state.source.raw[state.tokens[at].start : state.tokens[at].end]
    is_like_side = raw.islower() and state.source.raw[state.tokens[side_index].start].islower()
    if not _starts_symbol(state, at) or not (raw.isupper() or is_like_side):
        return None
    read = symbols.match_ticker(state, at)
    return read[0] if read is not None and state.tokens[read[1]].kind in _KINDS_AFTER_SYMBOL else None


def _starts_symbol(state: ParserState, index: int) -> bool:
    """A word, or a unit that goes on as the X in X2Y2USDT does."""
    kind = state.tokens[index].kind
    goes_on = state.is_adjacent(index + 1) and state.tokens[index + 1].text.isalnum()
    return kind == TokenKind.WORD or (kind in (TokenKind.UNIT, TokenKind.TIME_UNIT) and goes_on)


def _is_single_line_break(state: ParserState, index: int) -> bool:
    return (
        state.tokens[index].kind == TokenKind.NEWLINE
        and state.tokens[index].text != ""
        and state.tokens[index - 1].kind != TokenKind.NEWLINE
    )


def _read_symbol_before_side(state: ParserState, side_index: int) -> SymbolMatch | None:
    """A ticker in capitals at the start of the line, or alone on the line above."""
    at = side_index - 1
    while at > 0 and (
        state.tokens[at].kind in (TokenKind.NEWLINE, TokenKind.ORDER_TYPE) or state.tokens[at].text in ("|", "-", ":")
    ):
        at -= 1
    token = state.tokens[at]
    if at < 0 or token.kind != TokenKind.WORD or not state.starts_line(at) or not token.text.isascii():
        return None
    if not state.source.raw[token.start : token.end].isupper():
        return None
    read = symbols.match_ticker(state, at)
    return None if read is None else read[0]


def _report_unexplained_numbers(state: ParserState) -> None:
    """A number before the last level that no rule explains refuses the message: it may be a level."""
    if not state.unexplained_numbers:
        return
    told = {entry.first.value for entry in state.fields.entries} | {
        entry.second.value for entry in state.fields.entries if entry.second
    }
    captions: dict[int, bool] = {}
    overhang = TrailingNumbers(state)
    for stray in state.unexplained_numbers:
        if stray.value in told or (stray.start >= state.signal_end and not overhang.may_hold_level(stray)):
            continue
        if stray.start < state.signal_end and _is_in_caption(state, stray, captions):
            continue
        state.fields.add_problem(
            "ambiguous_number", "Say what this number is, or leave it out: SL, TP or @?", stray.start, stray.end
        )


def _report_entry_in_note(state: ParserState) -> None:
    """Where no entry was read, a number in a note that lies between the levels is most likely the entry."""
    values = [
        level.value for level in (*state.fields.stop_losses, *state.fields.take_profits) if level.value is not None
    ]
    if state.fields.entries or not values:
        return
    low, high = min(values), max(values)
    for number in state.header_note_numbers:
        if number.value is not None and low < number.value < high:
            hint = f"Is {number.text} the entry? Then write @{number.text} behind the symbol."
            state.fields.add_problem("ambiguous_number", hint, number.start, number.end)


def _is_in_caption(state: ParserState, number: Number, captions_by_line_start: dict[int, bool]) -> bool:
    """A whole number in a line of words above the signal, in nothing like its prices."""
    start = state.source.clean.rfind("\n", 0, number.start) + 1
    if not number.text.isdigit() or start >= state.source.clean.rfind("\n", 0, max(state.signal_start, 0)) + 1:
        return False
    if start not in captions_by_line_start:
        line = state.source.clean[start : state.source.clean.find("\n", start)]
        captions_by_line_start[start] = any(char.isalpha() for char in line)
    return captions_by_line_start[start] and (
        all(
            value > 10 * int(number.text) or int(number.text) > 10 * value
            for value in state.fields.level_values[:_MAX_EXAMINED]
        )
        or all("." in level.text for level in state.fields.levels[:_MAX_EXAMINED])
    )


def _reject_second_signal(state: ParserState) -> None:
    """A side or symbol behind a complete signal begins another one, if it has levels or names something else."""
    for at in state.restart_indexes[:_MAX_EXAMINED]:
        token = state.tokens[at]
        if token.start < state.signal_end or (token.kind == TokenKind.SIDE and _starts_another_signal(state, at)):
            state.fields.reject("multiple_signals", "Send one signal a message.", token.start, token.end)
            return


def _starts_another_signal(state: ParserState, index: int) -> bool:
    """`SELL GBPUSD` in the tail or a lone `SELL` behind a BUY, as against `good buy`."""
    nearby = [
        index + 1,
        *(
            other
            for other in state.restart_indexes[:_MAX_EXAMINED]
            if index - _MAX_SYMBOL_DISTANCE_TOKENS < other < index
        ),
    ]
    named = [read[0].name for near in nearby if (read := symbols.match_known(state, near))]
    is_turned = state.tokens[index].text not in _WORDS_BY_SIDE[state.fields.sides[0].value]
    if named:
        return is_turned or named[0] not in [name.name for name in state.fields.symbols[:1]]
    is_alone = (
        state.tokens[index - 1].kind in (TokenKind.NEWLINE, TokenKind.NUMBER)
        and state.tokens[index + 1].kind == TokenKind.NEWLINE
    )
    return is_turned and is_alone


def _record_ignored_text(state: ParserState) -> None:
    """Report every word and number that no rule has used, line by line. Of labels only those behind the signal."""
    first = last = None
    for token in state.tokens[: state.token_count + 1]:
        kind = token.kind
        if kind == TokenKind.MARK:
            continue
        if kind != TokenKind.NEWLINE and not token.used and (kind in _PROSE_KINDS or token.start >= state.signal_end):
            first, last = first or token, token
        elif first is not None and last is not None:
            state.fields.ignored.append(Spanned(_explain_ignored(state, first), first.start, last.end))
            first = last = None


def _explain_ignored(state: ParserState, token: Token) -> str:
    if token.start >= state.signal_end:
        return "It comes after the last level."
    if token.start < state.signal_start:
        return "It comes before the signal."
    return "It has no meaning in a signal."


_TRAILING_LINES: Final = re.compile(r"[^\n]*(?:\n(?:[^(A-Za-z\x80-\U0010ffff\n]|\([^()\n]*\))*(?=\n|\Z))*")
"""The rest of the line of the last level, and the lines below it that hold no word, unless in brackets."""

_MAX_PRICE_RATIO: Final = 2
_COPYRIGHT_LOOKBACK_CHARS: Final = 8
_KINDS_BEFORE_ENTRY: Final = frozenset({TokenKind.PRICE_PREFIX, TokenKind.ORDER_TYPE, TokenKind.STOP_WORD})


class TrailingNumbers:
    """What stands behind the last level and still belongs to the levels."""

    def __init__(self, state: ParserState) -> None:
        self._state = state
        values = state.fields.level_values
        self._lowest, self._highest = (min(values), max(values)) if values else (Decimal(0), Decimal(0))
        self._has_whole_price = not all("." in level.text for level in state.fields.levels)
        self._line_end = state.source.clean.find("\n", state.signal_end) % (
            len(state.source.clean) + 1
        )  # -1 is the end of the text
        rest = _TRAILING_LINES.match(state.source.clean, state.signal_end)
        self._trailing_end = rest.end() if rest else state.signal_end
        self._announced_starts = self._find_announced_starts() if not state.fields.entries else frozenset()

    def may_hold_level(self, number: Number) -> bool:
        value = number.value
        if value is None or self._is_copyright_year(number):
            return False
        # Between words `2 positions` is no price of EURUSD; alone on a line a 2 may well be one.
        if number.start < self._line_end and not (self._has_whole_price or "." in number.text):
            return False
        if number.start < self._trailing_end:
            return self._lowest / _MAX_PRICE_RATIO < value < self._highest * _MAX_PRICE_RATIO
        return number.start in self._announced_starts and self._lowest < value < self._highest

    def _is_copyright_year(self, number: Number) -> bool:
        return (
            self._state.source.raw[max(0, number.start - _COPYRIGHT_LOOKBACK_CHARS) : number.start]
            .rstrip()
            .endswith("\u00a9")
        )

    def _find_announced_starts(self) -> frozenset[int]:
        """Where numbers stand behind `from` or `LIMIT` at the start of a line: an entry told last."""
        tokens = self._state.tokens
        return frozenset(
            tokens[at + 1].start
            for at in range(self._state.token_count)
            if tokens[at].kind in _KINDS_BEFORE_ENTRY
            and tokens[at].start > self._state.signal_end
            and self._state.starts_line(at)
        )
