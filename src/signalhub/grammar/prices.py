"""Reading prices at a place: the number behind a label, and lists of numbers.

Every function takes the index of a token; those that read give the index behind what they read.


Reading the entry: one price, or the two ends of a zone.

What may stand beside a price and changes nothing: a currency, a measure, a remark in brackets.
"""

import re
from decimal import Decimal
from typing import Final

from signalhub.grammar.lexer import Token
from signalhub.grammar.non_prices import is_ratio, match_enumerator, match_measurement
from signalhub.grammar.numbers import Number, interpret_number, parse_exact, parse_thousands
from signalhub.grammar.parsed_fields import EntryRange
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.vocabulary import TokenKind

_LEADING_MARKS: Final = frozenset(":=@.,;~<>-|($#[{+_")
_LEADING_KINDS: Final = frozenset({TokenKind.PRICE_PREFIX, TokenKind.FILLER, TokenKind.CURRENCY})
_MARKS_AFTER_PRICE: Final = frozenset(",;/|)]}-_.!$+&(:*#~>%")
_KINDS_GLUED_TO_PRICE: Final = frozenset({TokenKind.NEWLINE, TokenKind.CURRENCY})
_WORD_LIKE_KINDS: Final = frozenset({TokenKind.WORD, TokenKind.NUMBER, TokenKind.UNIT, TokenKind.TIME_UNIT})
_PRICE_SEPARATORS: Final = frozenset("/,-|&;>")
_MAX_LABEL_DISTANCE_TOKENS: Final = 24  # tokens: labels in a row must not all look through the same text
_YEAR: Final = re.compile(r"(?:19|20)[0-9]{2}", re.ASCII)
_MAX_TARGET_STEP_FRACTION: Final = Decimal(
    "0.05"
)  # of a price: so far at most lies the next target that looks like a year


def find_labelled_price(state: ParserState, index: int) -> tuple[int | None, bool]:
    """The number a label announces, over marks and small words; and whether it stands on the next line."""
    crossed = False
    farthest = index + _MAX_LABEL_DISTANCE_TOKENS
    while index < farthest:
        token = state.tokens[index]
        kind = token.kind
        if kind == TokenKind.NUMBER:
            behind = match_enumerator(state, index)
            if behind is None:
                return index, crossed
            token.used = True
            index = behind
            continue
        if kind == TokenKind.NEWLINE and not crossed and token.text:
            crossed = True
        elif not (
            _is_leading_mark(state, index, token) if kind == TokenKind.MARK else _is_leading_word(state, index, kind)
        ):
            return None, crossed
        index += 1
    return None, crossed


def _is_leading_mark(state: ParserState, index: int, token: Token) -> bool:
    return token.text in _LEADING_MARKS or (token.text == ")" and state.tokens[index - 1].kind != TokenKind.NUMBER)


def _is_leading_word(state: ParserState, index: int, kind: str) -> bool:
    """A small word, or the short label in `Stop Loss (SL):`."""
    return kind in _LEADING_KINDS or (kind in (TokenKind.SL, TokenKind.TP) and state.tokens[index - 1].text == "(")


def is_lot_count(state: ParserState, index: int) -> bool:
    """Whether the number at `at` is one of lots: `0.05 lots`, but not `1.0890 LOT 0.05`."""
    if state.tokens[index + 1].kind != TokenKind.QUANTITY:
        return False
    following = state.tokens[index + 2]
    number = state.tokens[index + 3] if following.text in (":", "=", "-") else following
    return number.kind != TokenKind.NUMBER


def is_negative(state: ParserState, index: int) -> bool:
    """A minus before the price, as against the dash of `SL-3460`, `SL - 3460` and `SL:-3460`."""
    sign = state.tokens[index - 1]
    if sign.text != "-" or sign.end != state.tokens[index].start:
        return False
    before = state.tokens[index - 2]
    return before.end != sign.start or (
        before.kind == TokenKind.MARK and (before.text not in ":.-" or _is_double_minus(state, index - 2))
    )


def _is_double_minus(state: ParserState, index: int) -> bool:
    """Whether two dashes stand as signs before a price, apart from the label: `SL --1.0850`."""
    return state.tokens[index].text == "-" and not state.is_adjacent(index)


def read_price(state: ParserState, index: int) -> tuple[Number | None, int]:
    """The price at `at`, or None and a fault if it is none."""
    token, following = state.tokens[index], state.tokens[index + 1]
    end, behind, value = token.end, index + 1, parse_exact(token.text)
    is_sound = not is_negative(state, index)
    if following.start == end:
        if following.text == "K":
            end, behind, value = following.end, index + 2, parse_thousands(token.text)
            is_sound = is_sound and value is not None
            following.used = True
        elif following.kind == TokenKind.MARK:
            is_sound = (
                is_sound
                and following.text in _MARKS_AFTER_PRICE
                and not is_ratio(state, index)
                and not _is_torn_number(state, index)
            )
        else:
            is_sound = is_sound and following.kind in _KINDS_GLUED_TO_PRICE
    possible = interpret_number(token.text) if value is None else ()
    if len(possible) == 1 and possible[0].is_unambiguous:  # `2,340.80`: odd, and yet of one reading
        value = possible[0].values[0]
    if not is_sound or value == 0 or (value is None and not possible):
        _report_bad_price(state, index)
        return None, behind
    token.used = True
    state.signal_end = max(state.signal_end, end)
    return Number(token.text, token.start, end, value, possible), behind


def _is_torn_number(state: ParserState, index: int) -> bool:
    """`1.pips0850`, `110..800`: a point with something behind it that is no label ends no sentence."""
    if state.tokens[index + 1].text != ".":
        return False
    index += 3 if state.tokens[index + 2].text == "." and state.is_adjacent(index + 2) else 2
    return state.is_adjacent(index) and state.tokens[index].kind in _WORD_LIKE_KINDS


def _report_bad_price(state: ParserState, index: int) -> None:
    start, end = state.tokens[index].start, state.find_run_end(state.tokens[index].start)
    start -= is_negative(state, index)
    state.signal_end = max(state.signal_end, end)
    if is_ratio(state, index):
        state.fields.add_problem(
            "relative_price", "Write the price itself instead of a ratio, like TP 1.0890.", start, end
        )
    else:
        hint = "Write a price as digits with a point, like 1.0850: no sign, letters or exponent."
        state.fields.add_problem("bad_price", hint, start, end)


def report_relative_price(state: ParserState, index: int, end_index: int) -> int:
    """Refuse a level in pips, percent or R."""
    start, end = state.tokens[index].start, state.tokens[end_index - 1].end
    state.signal_end = max(state.signal_end, end)
    state.fields.add_problem(
        "relative_price", "Write the price itself, like 1.0850: pips and percent need a quote.", start, end
    )
    return end_index


def read_price_list(state: ParserState, index: int) -> tuple[list[Number], int]:
    """A list of prices on one line, such as `95 / 90`, with what stands beside each of them."""
    found: list[Number] = []
    while True:
        unit = match_measurement(state, index)
        if unit is not None:
            return found, report_relative_price(state, index, unit)
        number, index = read_price(state, index)
        if number is not None:
            found.append(number)
        index = skip_annotations(state, index)
        following = None if state.tokens[index].kind == TokenKind.NEWLINE else _find_next_price(state, index)
        if following is None or (number is not None and following == index and _may_be_year(state, index, number)):
            return found, index
        index = following


def _find_next_price(state: ParserState, index: int) -> int | None:
    """The next price of the list, if one follows on the line."""
    while state.tokens[index].text in _PRICE_SEPARATORS or state.tokens[index].kind == TokenKind.RANGE_WORD:
        index += 1
    while state.tokens[index].text in ("$", "+"):
        index += 1
    if state.tokens[index].kind == TokenKind.NUMBER and (behind := match_enumerator(state, index)):  # `1) 1.20 2) 1.50`
        state.mark_used(index, index + 1)
        index = behind
    if state.tokens[index].kind != TokenKind.NUMBER or is_lot_count(state, index):
        return None
    return index


def _may_be_year(state: ParserState, index: int, previous: Number) -> bool:
    """`2340 2024 edition`: whether the number may be a year rather than the next price of the list."""
    if (
        _YEAR.fullmatch(state.tokens[index].text) is None
        or state.tokens[index + 1].kind != TokenKind.WORD
        or previous.value is None
    ):
        return False
    return abs(int(state.tokens[index].text) - previous.value) > _MAX_TARGET_STEP_FRACTION * previous.value


_ZONE_SEPARATORS = frozenset({"-", "_", "/", "~"})
_MAX_ABBREVIATED_ZONE_FRACTION = Decimal("0.05")
_MAX_ZONE_RATIO = Decimal("1.5")


def read_entry(state: ParserState, index: int) -> None:
    """The entry whose number is at `at`, which may be the first of two."""
    state.expects_entry = False
    is_bracketed = state.tokens[index - 1].text == "[" or state.tokens[index - 2].text == "["
    behind = match_measurement(state, index)
    if behind is not None:
        state.pos = report_relative_price(state, index, behind)
        return
    first, state.pos = read_price(state, index)
    second = _read_zone_end(state) if first is not None else None
    if first is not None:
        state.fields.entries.append(EntryRange(first, _expand_zone_end(state, first, second)))
    state.pos = skip_annotations(state, state.pos)
    _report_extra_price(state, index)
    _read_closing_bracket(state, index, is_bracketed=is_bracketed)


def _read_zone_end(state: ParserState) -> Number | None:
    at = _skip_currency(state, state.pos)
    if state.tokens[at].text not in _ZONE_SEPARATORS and state.tokens[at].kind != TokenKind.RANGE_WORD:
        return None
    at = _skip_currency(state, at + 1)
    if state.tokens[at].kind != TokenKind.NUMBER or match_measurement(state, at) is not None:
        return None
    number = state.tokens[at]
    if parse_exact(number.text) is None and number.text.isdigit():  # `4105-03`: only the end of a price
        state.pos = at + 1
        number.used = True
        state.signal_end = max(state.signal_end, number.end)
        return Number(number.text, number.start, number.end)
    second, state.pos = read_price(_mark_dash_as_separator(state, at), at)
    return second


def _mark_dash_as_separator(state: ParserState, index: int) -> ParserState:
    """In `1.1200 -1.1180` the dash joins two prices."""
    sign = state.tokens[index - 1]
    if sign.text == "-":
        sign.text = "~"
    return state


def _skip_currency(state: ParserState, index: int) -> int:
    while state.tokens[index].text == "$" or state.tokens[index].kind == TokenKind.CURRENCY:
        index += 1
    return index


def _expand_zone_end(state: ParserState, first: Number, second: Number | None) -> Number | None:
    """`4105-03` and `134.30/35` leave out the digits both ends share; any other reading of them is refused."""
    if second is None or first.value is None:
        return second
    value = second.value
    if value is not None and value * _MAX_ZONE_RATIO > first.value and value < first.value * _MAX_ZONE_RATIO:
        return second
    tail = second.text
    whole = parse_exact(first.text[: -len(tail)] + tail) if tail.isdigit() and len(tail) > 1 else None
    if (
        whole is not None
        and abs(whole - first.value) <= first.value * _MAX_ABBREVIATED_ZONE_FRACTION
        and len(tail) < len(first.text)
    ):
        return Number(second.text, second.start, second.end, whole)
    if value is None:
        state.fields.add_problem("ambiguous_number", "Write both ends of the zone in full.", first.start, second.end)
    return second


def _report_extra_price(state: ParserState, index: int) -> None:
    """A second price with nothing between, or a third one, has no meaning we could be sure of."""
    following = state.pos
    while state.tokens[following].text in _ZONE_SEPARATORS or state.tokens[following].text == ",":
        following += 1
    if state.tokens[following].kind != TokenKind.NUMBER or is_lot_count(state, following):
        return
    if match_measurement(state, following) is not None or match_enumerator(state, following) is not None:
        return
    start, end = state.tokens[index].start, state.tokens[following].end
    state.fields.add_problem(
        "bad_entry", "Write one entry price, or a zone with a dash like 1.0850-1.0860.", start, end
    )
    state.signal_end = max(state.signal_end, end)
    state.pos = following + 1


def _read_closing_bracket(state: ParserState, index: int, *, is_bracketed: bool) -> None:
    """`[@1.0860]` and, from a published example that people paste, `[@1.0860 - Optional]`."""
    if is_bracketed and state.tokens[state.pos].text == "-" and state.tokens[state.pos + 1].text == "OPTIONAL":
        state.add_note(state.pos + 1, state.pos + 2)
        state.pos += 2
    closes = state.tokens[state.pos].text == "]"
    if closes != is_bracketed:
        start, end = (
            state.tokens[index].start,
            state.tokens[state.pos].end if closes else state.tokens[state.pos - 1].end,
        )
        state.fields.add_problem(
            "bad_entry", "Write the entry as @1.0860 or [@1.0860], with both brackets.", start, end
        )
    state.pos += closes
    if closes and state.tokens[state.pos].text == "]":
        state.fields.add_problem(
            "bad_entry", "Close the bracket once.", state.tokens[state.pos].start, state.tokens[state.pos].end
        )


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
