"""Numbers no label announced: explained by a unit or by their place, or strays."""

import re
from typing import Final

from signalhub.grammar import prices, symbols
from signalhub.grammar.non_prices import match_enumerator, match_measurement, skip_line_number
from signalhub.grammar.numbers import Number, parse_exact
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules.header import add_symbol, read_word
from signalhub.grammar.rules.notes import add_quantity
from signalhub.grammar.vocabulary import TokenKind

_MAX_COUNT_DIGITS: Final = 2
_MAX_LEVERAGE: Final = 500
_DOTTED_DATE: Final = re.compile(
    r"(?:19|20)[0-9]{2}\.[0-9]{1,2}\.[0-9]{1,2}|[0-9]{1,2}\.[0-9]{1,2}\.(?:19|20)?[0-9]{2}", re.ASCII
)
_SEPARATED_DATE: Final = re.compile(
    r"[0-3]?[0-9]([/-])[0-3]?[0-9]\1(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}([/-])[01]?[0-9]\2[0-3]?[0-9]", re.ASCII
)
_DATE_SEPARATORS: Final = frozenset("/-")
_MINUTES_OR_SECONDS: Final = re.compile(r"[0-5][0-9]", re.ASCII)
_KINDS_BEFORE_INDEX: Final = frozenset({TokenKind.WORD, TokenKind.TIME_UNIT, TokenKind.UNIT})


def read_number(state: ParserState) -> None:
    if symbols.can_start_known_symbol(state, state.pos) and (name := symbols.match_known(state, state.pos)):
        add_symbol(state, *name)
        return
    behind = _match_explained_number(state)
    if behind is not None:
        if (
            state.tokens[state.pos + 1].text == "X"
            and (value := parse_exact(state.tokens[state.pos].text))
            and value > _MAX_LEVERAGE
        ):
            state.header_note_numbers.append(
                Number(state.tokens[state.pos].text, state.tokens[state.pos].start, state.tokens[state.pos].end, value)
            )
        state.add_note(state.pos, behind)
        state.pos = behind
    elif prices.is_lot_count(state, state.pos):
        add_quantity(state)
    elif state.tokens[state.pos + 1].kind == TokenKind.OPTION:
        _reject_option(state)
    elif state.in_target_list:
        _read_next_take_profit(state)
    elif state.expects_entry:
        prices.read_entry(state, state.pos)
    else:
        token = state.tokens[state.pos]
        state.unexplained_numbers.append(Number(token.text, token.start, token.end, parse_exact(token.text)))
        state.pos += 1


def _read_next_take_profit(state: ParserState) -> None:
    """One more line of a list whose label stands above it."""
    at, _ = prices.find_labelled_price(state, skip_line_number(state, state.pos, len(state.fields.take_profits) + 1))
    numbers, state.pos = prices.read_price_list(state, state.pos if at is None else at)
    state.fields.take_profits.extend(numbers)


def _reject_option(state: ParserState) -> None:
    start, end = state.tokens[state.pos].start, state.tokens[state.pos + 1].end
    state.fields.reject("unsupported", "Options are not traded here: a strike looks like an entry.", start, end)
    state.pos += 2


def _match_explained_number(state: ParserState) -> int | None:
    """The index behind a number whose meaning is plain and which is no price."""
    return (
        match_measurement(state, state.pos)
        or match_enumerator(state, state.pos)
        or _match_time_or_date(state)
        or _match_number_in_word(state)
    )


def _match_time_or_date(state: ParserState) -> int | None:
    """`02:25`, and a date such as `2020.02.24` where no price is due."""
    text = state.tokens[state.pos].text
    if "." in text:
        return state.pos + 1 if not state.expects_entry and _DOTTED_DATE.fullmatch(text) else None
    if (behind := _match_separated_date(state)) is not None:
        return behind
    at = state.pos
    while (
        state.tokens[at + 1].text == ":"
        and state.is_adjacent(at + 2)
        and _MINUTES_OR_SECONDS.fullmatch(state.tokens[at + 2].text)
    ):
        at += 2
    return at + 1 if at > state.pos and len(text) <= _MAX_COUNT_DIGITS else None


def _match_separated_date(state: ParserState) -> int | None:
    """`13/05/2025` and `2025-05-13`, in one piece."""
    if state.tokens[state.pos + 1].text not in _DATE_SEPARATORS or state.expects_entry:
        return None
    pieces = state.tokens[state.pos : state.pos + 5]
    written = "".join([piece.text for piece in pieces])
    is_whole = pieces[4].end - pieces[0].start == len(written)
    return state.pos + 5 if is_whole and _SEPARATED_DATE.fullmatch(written) else None


def read_timeframe(state: ParserState) -> None:
    """The chart the signal was seen on, `H1` or `M15`: the entry may still follow."""
    figure = state.tokens[state.pos + 1]
    is_figure = (
        figure.kind == TokenKind.NUMBER and state.is_adjacent(state.pos + 1) and len(figure.text) <= _MAX_COUNT_DIGITS
    )
    if (
        is_figure
        and len(state.tokens[state.pos].text) == 1
        and state.labelled_symbol_index != state.pos
        and not _is_continued(state, state.pos + 2)
    ):
        state.add_note(state.pos, state.pos + 2)
        state.pos += 2
    else:
        read_word(state)


def _is_continued(state: ParserState, index: int) -> bool:
    return state.is_adjacent(index) and state.tokens[index].kind != TokenKind.NEWLINE


def _match_number_in_word(state: ParserState) -> int | None:
    """The figure in `H1`, `#12` or `Signal 6`, and a word that begins with one."""
    token, before, following = state.tokens[state.pos], state.tokens[state.pos - 1], state.tokens[state.pos + 1]
    if not token.text.isdigit():
        return None
    if state.is_adjacent(state.pos) and (before.text == "#" or before.kind in _KINDS_BEFORE_INDEX):
        return state.pos + 1
    if before.kind == TokenKind.FILLER and len(token.text) <= _MAX_COUNT_DIGITS and not state.fields.sides:
        return state.pos + 1
    is_word = following.kind == TokenKind.WORD and following.text != "K" and state.is_adjacent(state.pos + 1)
    return state.pos + 2 if is_word and not state.expects_entry else None


def read_unit(state: ParserState) -> None:
    """`x20` is leverage, `X2Y2` a name, and a unit without a number a word."""
    at = state.pos + 1
    is_leverage = (
        state.tokens[state.pos].text == "X" and state.tokens[at].kind == TokenKind.NUMBER and state.is_adjacent(at)
    )
    if is_leverage and not (state.is_adjacent(at + 1) and state.tokens[at + 1].text.isalnum()):
        state.add_note(state.pos, at + 1)
        state.pos = at + 1
    else:
        read_word(state)
