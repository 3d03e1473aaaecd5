"""What may stand beside a price and changes nothing: a currency, a measure, a remark in brackets."""

from typing import Final

from signalhub.grammar.measures import match_measurement
from signalhub.grammar.message import ParserState
from signalhub.grammar.numbers import parse_exact
from signalhub.grammar.vocabulary import TokenKind

_MAX_BRACKETED_NOTE_TOKENS: Final = 16
_ANNOTATION_MARKS: Final = frozenset("-|/+,")
_NOTE_BREAKING_KINDS: Final = frozenset(
    {TokenKind.NEWLINE, TokenKind.SL, TokenKind.TP, TokenKind.ENTRY, TokenKind.SIDE}
)
_ANNOTATION_KINDS: Final = frozenset({TokenKind.MARK, TokenKind.CURRENCY, TokenKind.NUMBER})


def skip_annotations(state: ParserState, index: int) -> int:
    """The index behind all of it: `1.0890$ (30 pips)`."""
    behind: int | None = index
    while behind is not None and state.tokens[behind].kind in _ANNOTATION_KINDS:
        index = behind
        behind = _match_annotation(state, index)
    return index if behind is None else behind


def _match_annotation(state: ParserState, index: int) -> int | None:
    token = state.tokens[index]
    if token.kind == TokenKind.CURRENCY or token.text == "$" or (token.text == "+" and state.is_adjacent(index)):
        token.used = True
        return index + 1
    if token.text in ("(", "["):
        return match_bracketed_note(state, index)
    number = index
    while state.tokens[number].text in _ANNOTATION_MARKS:
        number += 1
    behind = match_measurement(state, number) if state.tokens[number].kind == TokenKind.NUMBER else None
    if behind is None or _ends_relative_list(state, index, number):
        return None
    state.add_note(number, behind)
    return behind


def _ends_relative_list(state: ParserState, index: int, number_index: int) -> bool:
    """In `20 - 50 - 100 pips` the first two are pips as well: a distance too near to the level before it."""
    if state.tokens[number_index + 1].kind != TokenKind.UNIT or number_index == index:
        return False
    level, distance = parse_exact(state.tokens[index - 1].text), parse_exact(state.tokens[number_index].text)
    return level is not None and distance is not None and level < 10 * distance and distance < 10 * level


def match_bracketed_note(state: ParserState, opening_index: int) -> int | None:
    """The index behind a short remark in brackets, if it holds no label and no number that could be a price."""
    closing = ")" if state.tokens[opening_index].text == "(" else "]"
    is_noted = False
    for at in range(opening_index + 1, min(opening_index + _MAX_BRACKETED_NOTE_TOKENS, state.token_count)):
        token = state.tokens[at]
        if token.text == closing:
            state.add_note(opening_index, at + 1)
            return at + 1
        is_noted = is_noted or token.kind == TokenKind.NOTE
        if token.kind in _NOTE_BREAKING_KINDS or (
            token.kind == TokenKind.NUMBER and not is_noted and match_measurement(state, at) is None
        ):
            return None
    return None
