"""Numbers that are no prices: measures, counts of lots, the figures of lists and labels.

Every function takes the index of a token; those that read give the index behind what they read.
"""

import re
from typing import Final

from signalhub.grammar.lexer import Token
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.vocabulary import TokenKind

_ORDINAL_SUFFIXES: Final = frozenset({"ST", "ND", "RD", "TH"})
_SMALL_INTEGER: Final = re.compile(r"[1-9]|1[0-2]", re.ASCII)
_INDEX_AND_PRICE: Final = re.compile(r"([1-9]|1[0-2])[.,]([0-9]+\.[0-9]+)", re.ASCII)
_LIST_SEPARATORS: Final = frozenset("/,|&;>")
_LIST_SEPARATORS_AND_DASH: Final = frozenset("/,|&;>-")
_DASHES: Final = frozenset("-_")
_MAX_ENUMERATOR_DIGITS: Final = 2
_MAX_CHAIN_NUMBERS: Final = 4


def match_measurement(state: ParserState, index: int) -> int | None:
    """The index behind `20 pips`, `5-10x`, `12.5%`, `15m` or `11 August`: a number that is no price."""
    index += 1
    unit = state.tokens[index]
    if unit.text == "-":
        index = _skip_number_chain(state, index)
        unit = state.tokens[index]
    kind = unit.kind
    if kind == TokenKind.MARK:
        return index + 1 if unit.text == "%" else None
    if kind in (TokenKind.UNIT, TokenKind.TIME_UNIT):
        return index + 1 if len(unit.text) > 1 or state.is_adjacent(index) else None
    is_counted = kind == TokenKind.MONTH or (unit.text in _ORDINAL_SUFFIXES and state.is_adjacent(index))
    return index + 1 if is_counted else None


def _skip_number_chain(state: ParserState, index: int) -> int:
    """Over `-10` and `-50-100`, if they hang on the number before. Bounded: every number of a long chain asks."""
    tokens, last = state.tokens, index + 2 * _MAX_CHAIN_NUMBERS
    while index < last:
        before, dash, further = tokens[index - 1 : index + 2]
        if (
            dash.text != "-"
            or further.kind != TokenKind.NUMBER
            or before.end != dash.start
            or dash.end != further.start
        ):
            break
        index += 2
    return index


def match_enumerator(state: ParserState, index: int) -> int | None:
    """The index behind `1)`, `2.` or `(3)`, if the number counts the lines of a list."""
    token, mark = state.tokens[index], state.tokens[index + 1]
    if mark.kind != TokenKind.MARK or mark.start != token.end or len(token.text) > _MAX_ENUMERATOR_DIGITS:
        return None
    if mark.text == ")" and (
        state.tokens[index - 1].text == "("
        or state.starts_line(index)
        or state.tokens[index + 2].kind == TokenKind.NUMBER
    ):
        return index + 2
    if mark.text in (".", ":") and state.tokens[index + 2].start > mark.end and state.starts_line(index):
        return index + 2
    return None


def skip_line_number(state: ParserState, index: int, expected_number: int) -> int:
    """Over the number that counts a line of a list, as in `1 - 1.0890`, `#2 1.0910` or `3= 1.0930`."""
    first, index = index, index + (state.tokens[index].text == "#")
    if state.tokens[index].text != str(expected_number):
        return first
    price = index + 1
    while state.tokens[price].kind == TokenKind.MARK and state.tokens[price].text not in ",|&":
        price += 1
    if (
        state.tokens[price].kind != TokenKind.NUMBER
        or match_measurement(state, index) is not None
        or match_measurement(state, price) is not None
    ):
        return first
    further = price + 1
    while state.tokens[further].text in _LIST_SEPARATORS_AND_DASH:
        further += 1
    is_longer = state.tokens[further].kind == TokenKind.NUMBER and match_measurement(state, further) is None
    if is_longer or _SMALL_INTEGER.fullmatch(state.tokens[price].text):
        _report_ambiguous_index(state, index, price)
    state.tokens[index].used = True
    return price


def _report_ambiguous_index(state: ParserState, index: int, price_index: int) -> None:
    start, end = state.tokens[index].start, state.tokens[price_index].end
    state.fields.add_problem("ambiguous_number", "Write TP1: 2 or TP 1, 2 to tell a number from a price.", start, end)


def is_ratio(state: ParserState, index: int) -> bool:
    """`1:2`, where nothing stands between."""
    return (
        state.tokens[index + 1].text == ":"
        and state.tokens[index + 2].kind == TokenKind.NUMBER
        and state.is_adjacent(index + 2)
    )


def skip_label_index(state: ParserState, index: int, expected_index: int) -> int:
    """Over the index of `TP1`, `TP 1:` or `TP (1)`. What could be an index or a price is a price if none follows."""
    token, label_end = state.tokens[index], state.tokens[index - 1].end
    is_hashed = token.text == "#"
    if is_hashed or _is_hyphenated_index(state, index):
        index += 1
        token = state.tokens[index]
    if (
        token.text == "("
        and _SMALL_INTEGER.fullmatch(state.tokens[index + 1].text)
        and state.tokens[index + 2].text == ")"
    ):
        state.tokens[index + 1].used = True
        return index + 3
    if token.kind != TokenKind.NUMBER:
        return index
    is_glued = is_hashed or token.start == label_end
    if is_glued and (indexed := _INDEX_AND_PRICE.fullmatch(token.text)):
        state.tokens[index] = Token(TokenKind.NUMBER, token.start + indexed.start(2), token.end, indexed[2])
        return index
    if _SMALL_INTEGER.fullmatch(token.text) is None or match_measurement(state, index) is not None:
        return index
    if (
        is_glued
        or state.tokens[index + 1].text == ")"
        or (int(token.text) == expected_index and _is_label_index(state, index))
    ):
        token.used = True
        return index + 1
    return index


def _is_hyphenated_index(state: ParserState, index: int) -> bool:
    """The dash of `TP-1: 1.0890`, where nothing but an index can stand before the colon."""
    if state.tokens[index].text not in _DASHES or not (state.is_adjacent(index) and state.is_adjacent(index + 1)):
        return False
    return (
        state.tokens[index + 2].text in (":", "=")
        and _SMALL_INTEGER.fullmatch(state.tokens[index + 1].text) is not None
    )


def _is_label_index(state: ParserState, index: int) -> bool:
    """Whether the small number behind a label counts it: the next target is due, and a price follows."""
    following = state.tokens[index + 1]
    if is_ratio(state, index) or following.text in _LIST_SEPARATORS:
        return False
    price = index + 1
    while state.tokens[price].kind in (TokenKind.MARK, TokenKind.PRICE_PREFIX, TokenKind.FILLER, TokenKind.CURRENCY):
        price += 1
    if state.tokens[price].kind != TokenKind.NUMBER:
        return following.text == ":" or following.kind == TokenKind.RUNNER
    if _SMALL_INTEGER.fullmatch(state.tokens[price].text):
        _report_ambiguous_index(state, index, price)
    return True
