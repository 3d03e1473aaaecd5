"""Rules for numbers without a label: explained by a unit or by their place, or recorded as unexplained."""

import re
from typing import Final

from signalhub.grammar.non_prices import match_enumerator, match_measurement
from signalhub.grammar.numbers import Number, parse_exact
from signalhub.grammar.parser_state import ParserState, TokenizedText
from signalhub.grammar.prices import is_lot_count
from signalhub.grammar.rules.header import add_symbol, read_word
from signalhub.grammar.rules.labels import read_entry, read_next_take_profit
from signalhub.grammar.rules.notes import add_quantity
from signalhub.grammar.symbols import can_start_known_symbol, match_known
from signalhub.grammar.vocabulary import TokenKind

_MAX_COUNT_DIGITS: Final = 2
_MAX_LEVERAGE: Final = 500  # `2345 x` is more likely a price than a leverage
_DOTTED_DATE: Final = re.compile(
    r"(?:19|20)[0-9]{2}\.[0-9]{1,2}\.[0-9]{1,2}|[0-9]{1,2}\.[0-9]{1,2}\.(?:19|20)?[0-9]{2}", re.ASCII
)
_SEPARATED_DATE: Final = re.compile(
    r"[0-3]?[0-9]([/-])[0-3]?[0-9]\1(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}([/-])[01]?[0-9]\2[0-3]?[0-9]", re.ASCII
)
_DATE_TOKENS: Final = 5
_DATE_SEPARATORS: Final = frozenset("/-")
_MINUTES_OR_SECONDS: Final = re.compile(r"[0-5][0-9]", re.ASCII)
_KINDS_BEFORE_INDEX: Final = frozenset({TokenKind.WORD, TokenKind.TIME_UNIT, TokenKind.UNIT})


def read_number(state: ParserState, index: int) -> int:  # noqa: PLR0911 - one return for each meaning of a number
    text, token, following = state.text, state.tokens[index], state.tokens[index + 1]
    # The order matters: what explains a number as something other than a price comes before the prices.
    if can_start_known_symbol(text, index) and (symbol := match_known(text, index)):
        return add_symbol(state, index, symbol)
    end_index = (
        match_measurement(text, index)
        or match_enumerator(text, index)
        or match_time_or_date(text, index, expects_entry=state.expects_entry)
        or match_number_in_word(state, index)
    )
    if end_index is not None:
        if following.text == "X" and (value := parse_exact(token.text)) and value > _MAX_LEVERAGE:
            state.header_note_numbers.append(Number(token.text, token.start, token.end, value))
        state.add_note(index, end_index)
        return end_index
    if is_lot_count(text, index):
        return add_quantity(state, index)
    if following.kind == TokenKind.OPTION:
        hint = "Options are not traded here: a strike looks like an entry."
        state.fields.reject("unsupported", hint, token.start, following.end)
        return index + 2
    if state.in_target_list:
        return read_next_take_profit(state, index)
    if state.expects_entry:
        return read_entry(state, index)
    state.unexplained_numbers.append(Number(token.text, token.start, token.end, parse_exact(token.text)))
    return index + 1


def match_time_or_date(text: TokenizedText, index: int, *, expects_entry: bool) -> int | None:
    """Return the index after `02:25`, or after a date such as `2020.02.24` where no price is due."""
    tokens = text.tokens
    first = tokens[index].text
    if "." in first:
        return index + 1 if not expects_entry and _DOTTED_DATE.fullmatch(first) else None
    if not expects_entry and (date_end := match_separated_date(text, index)) is not None:
        return date_end
    last = index
    while (
        tokens[last + 1].text == ":"
        and text.is_adjacent(last + 2)
        and _MINUTES_OR_SECONDS.fullmatch(tokens[last + 2].text)
    ):
        last += 2
    return last + 1 if last > index and len(first) <= _MAX_COUNT_DIGITS else None


def match_separated_date(text: TokenizedText, index: int) -> int | None:
    """Return the index after `13/05/2025` or `2025-05-13` without gaps."""
    if text.tokens[index + 1].text not in _DATE_SEPARATORS:
        return None
    end_index = index + _DATE_TOKENS
    tokens = text.tokens[index:end_index]
    written = "".join([token.text for token in tokens])
    is_whole = tokens[-1].end - tokens[0].start == len(written)
    return end_index if is_whole and _SEPARATED_DATE.fullmatch(written) else None


def match_number_in_word(state: ParserState, index: int) -> int | None:
    """Return the index after the figure in `H1`, `#12` or `Signal 6`, or after a word that begins with a figure."""
    token, before, following = state.tokens[index], state.tokens[index - 1], state.tokens[index + 1]
    if not token.text.isdigit():
        return None
    if state.text.is_adjacent(index) and (before.text == "#" or before.kind in _KINDS_BEFORE_INDEX):
        return index + 1
    if before.kind == TokenKind.FILLER and len(token.text) <= _MAX_COUNT_DIGITS and not state.fields.sides:
        return index + 1
    is_word = following.kind == TokenKind.WORD and following.text != "K" and state.text.is_adjacent(index + 1)
    return index + 2 if is_word and not state.expects_entry else None


def read_timeframe(state: ParserState, index: int) -> int:
    """Skip the timeframe of the chart, `H1` or `M15`: the entry may still follow."""
    figure = state.tokens[index + 1]
    is_figure = (
        figure.kind == TokenKind.NUMBER and state.text.is_adjacent(index + 1) and len(figure.text) <= _MAX_COUNT_DIGITS
    )
    is_single_letter = len(state.tokens[index].text) == 1
    is_continued = state.text.is_adjacent(index + 2) and state.tokens[index + 2].kind != TokenKind.NEWLINE
    if not is_figure or not is_single_letter or is_continued or state.labelled_symbol_index == index:
        return read_word(state, index)
    state.add_note(index, index + 2)
    return index + 2


def read_unit(state: ParserState, index: int) -> int:
    """Skip the leverage `x20`. `X2Y2` is a name, and a unit without a number a word."""
    text = state.text
    number = state.tokens[index + 1]
    is_leverage = state.tokens[index].text == "X" and number.kind == TokenKind.NUMBER and text.is_adjacent(index + 1)
    if not is_leverage or (text.is_adjacent(index + 2) and state.tokens[index + 2].text.isalnum()):
        return read_word(state, index)
    state.add_note(index, index + 2)
    return index + 2
