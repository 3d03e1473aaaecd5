"""Match prices: the number after a label, lists of prices, the entry, and the notes beside a price.

The helpers of `match_price_list` and `match_entry` add what they read to the `Match` that these return.
"""

import re
from decimal import Decimal
from typing import Final

import msgspec

from signalhub.grammar.lexer import Token
from signalhub.grammar.non_prices import is_ratio, match_enumerator, match_measurement
from signalhub.grammar.numbers import Number, interpret_number, parse_exact, parse_thousands
from signalhub.grammar.parser_state import Match, TokenizedText
from signalhub.grammar.vocabulary import TokenKind

_LEADING_MARKS: Final = frozenset(":=@.,;~<>-|($#[{+_")
_LEADING_KINDS: Final = frozenset({TokenKind.PRICE_PREFIX, TokenKind.FILLER, TokenKind.CURRENCY})
_MARKS_AFTER_PRICE: Final = frozenset(",;/|)]}-_.!$+&(:*#~>%")
_KINDS_GLUED_TO_PRICE: Final = frozenset({TokenKind.NEWLINE, TokenKind.CURRENCY})
_WORD_LIKE_KINDS: Final = frozenset({TokenKind.WORD, TokenKind.NUMBER, TokenKind.UNIT, TokenKind.TIME_UNIT})
_PRICE_SEPARATORS: Final = frozenset("/,-|&;>")
_ZONE_SEPARATORS: Final = frozenset("-_/~")
_ANNOTATION_MARKS: Final = frozenset("-|/+,")
_ANNOTATION_KINDS: Final = frozenset({TokenKind.MARK, TokenKind.CURRENCY, TokenKind.NUMBER})
_NOTE_BREAKING_KINDS: Final = frozenset(
    {TokenKind.NEWLINE, TokenKind.SL, TokenKind.TP, TokenKind.ENTRY, TokenKind.SIDE}
)
_YEAR: Final = re.compile(r"(?:19|20)[0-9]{2}", re.ASCII)

# Labels in a row must not all search the same text, so the distance to a price is bounded.
_MAX_LABEL_DISTANCE_TOKENS: Final = 24
_MAX_BRACKETED_NOTE_TOKENS: Final = 16
_MAX_TARGET_STEP_FRACTION: Final = Decimal("0.05")  # farther from the price before, `2024` is a year
_MAX_ABBREVIATED_ZONE_FRACTION: Final = Decimal("0.05")
_MAX_ZONE_RATIO: Final = Decimal("1.5")

_BAD_PRICE_HINT: Final = "Write a price as digits with a point, like 1.0850: no sign, letters or exponent."
_RATIO_HINT: Final = "Write the price itself instead of a ratio, like TP 1.0890."
_RELATIVE_PRICE_HINT: Final = "Write the price itself, like 1.0850: pips and percent need a quote."


# The number after a label


class LabelledPrice(msgspec.Struct, frozen=True, gc=False):
    """Index of the number that a label announces, or None. `enumerators` are the line numbers skipped on the way."""

    index: int | None
    is_on_next_line: bool
    enumerators: tuple[int, ...]


def find_labelled_price(text: TokenizedText, index: int) -> LabelledPrice:
    """Find the number that a label announces, after marks, small words and at most one line end."""
    tokens, is_on_next_line = text.tokens, False
    enumerators: tuple[int, ...] = ()
    last_index = index + _MAX_LABEL_DISTANCE_TOKENS
    while index < last_index:
        token = tokens[index]
        kind = token.kind
        if kind == TokenKind.NUMBER:
            end_index = match_enumerator(text, index)
            if end_index is None:
                return LabelledPrice(index, is_on_next_line, enumerators)
            enumerators += (index,)
            index = end_index
            continue
        if kind == TokenKind.NEWLINE and not is_on_next_line and token.text:
            is_on_next_line = True
        elif not may_precede_price(text, index, token):
            break
        index += 1
    return LabelledPrice(None, is_on_next_line, enumerators)


def may_precede_price(text: TokenizedText, index: int, token: Token) -> bool:
    """Whether the token is a mark, a small word or the short label of `Stop Loss (SL):`."""
    if token.kind == TokenKind.MARK:
        return token.text in _LEADING_MARKS or (token.text == ")" and text.tokens[index - 1].kind != TokenKind.NUMBER)
    return token.kind in _LEADING_KINDS or (
        token.kind in (TokenKind.SL, TokenKind.TP) and text.tokens[index - 1].text == "("
    )


def is_lot_count(text: TokenizedText, index: int) -> bool:
    """Whether the number is a quantity: `0.05 lots`, but not `1.0890 LOT 0.05`."""
    if text.tokens[index + 1].kind != TokenKind.QUANTITY:
        return False
    following = text.tokens[index + 2]
    number = text.tokens[index + 3] if following.text in (":", "=", "-") else following
    return number.kind != TokenKind.NUMBER


def is_negative(text: TokenizedText, index: int) -> bool:
    """Whether a minus precedes the price, as opposed to the dash of `SL-3460`, `SL - 3460` and `SL:-3460`."""
    sign = text.tokens[index - 1]
    if sign.text != "-" or sign.end != text.tokens[index].start:
        return False
    before = text.tokens[index - 2]
    if before.end != sign.start:
        return True
    # In `SL --1.0850` the first dash stands apart from the label, so the second one is a sign.
    is_double_minus = before.text == "-" and not text.is_adjacent(index - 2)
    return before.kind == TokenKind.MARK and (before.text not in ":.-" or is_double_minus)


# One price


def read_price(text: TokenizedText, index: int, match: Match, *, follows_zone_dash: bool = False) -> Number | None:
    """Read the price at a number, or add a problem and return None. Moves `match.end_index` after it."""
    tokens = text.tokens
    token, following = tokens[index], tokens[index + 1]
    end, value = token.end, parse_exact(token.text)
    match.end_index = index + 1
    # In `1.1200 -1.1180` the dash joins two prices.
    has_sign = not follows_zone_dash and is_negative(text, index)
    is_valid = not has_sign
    if following.start == end:
        if following.text == "K":
            end, value = following.end, parse_thousands(token.text)
            match.end_index = index + 2
            match.used.append(index + 1)
            is_valid = is_valid and value is not None
        elif following.kind == TokenKind.MARK:
            is_valid = (
                is_valid
                and following.text in _MARKS_AFTER_PRICE
                and not is_ratio(text, index)
                and not is_torn_number(text, index)
            )
        else:
            is_valid = is_valid and following.kind in _KINDS_GLUED_TO_PRICE
    interpretations = interpret_number(token.text) if value is None else ()
    if len(interpretations) == 1 and interpretations[0].is_unambiguous:  # such as `2,340.80`
        value = interpretations[0].values[0]
    if not is_valid or value == 0 or (value is None and not interpretations):
        report_bad_price(text, index, match, token.start - has_sign)
        return None
    match.used.append(index)
    match.levels_end = max(match.levels_end, end)
    return Number(token.text, token.start, end, value, interpretations)


def is_torn_number(text: TokenizedText, index: int) -> bool:
    """Whether this is `1.pips0850` or `110..800`: a point does not end a sentence if a word or number follows it."""
    if text.tokens[index + 1].text != ".":
        return False
    index += 3 if text.tokens[index + 2].text == "." and text.is_adjacent(index + 2) else 2
    return text.is_adjacent(index) and text.tokens[index].kind in _WORD_LIKE_KINDS


def report_bad_price(text: TokenizedText, index: int, match: Match, start: int) -> None:
    end = text.find_run_end(text.tokens[index].start)
    match.levels_end = max(match.levels_end, end)
    if is_ratio(text, index):
        match.problems.append(("relative_price", _RATIO_HINT, start, end))
    else:
        match.problems.append(("bad_price", _BAD_PRICE_HINT, start, end))


def report_relative_price(text: TokenizedText, index: int, end_index: int, match: Match) -> None:
    """Report a level in pips, percent or R, and skip it."""
    start, end = text.tokens[index].start, text.tokens[end_index - 1].end
    match.end_index = end_index
    match.levels_end = max(match.levels_end, end)
    match.problems.append(("relative_price", _RELATIVE_PRICE_HINT, start, end))


# Lists of prices


def match_price_list(text: TokenizedText, index: int) -> Match:
    """Match prices on one line, such as `95 / 90`, each with the notes beside it."""
    match = Match(index)
    while True:
        measurement_end = match_measurement(text, index)
        if measurement_end is not None:
            report_relative_price(text, index, measurement_end, match)
            return match
        number = read_price(text, index, match)
        if number is not None:
            match.numbers.append(number)
        index = skip_annotations(text, match.end_index, match)
        match.end_index = index
        following = None if text.tokens[index].kind == TokenKind.NEWLINE else find_next_price(text, index, match)
        if following is None or (number is not None and following == index and may_be_year(text, index, number)):
            return match
        index = following


def find_next_price(text: TokenizedText, index: int, match: Match) -> int | None:
    """Return the index of the next price of the list, if one follows on the line."""
    tokens = text.tokens
    while tokens[index].text in _PRICE_SEPARATORS or tokens[index].kind == TokenKind.RANGE_WORD:
        index += 1
    while tokens[index].text in ("$", "+"):
        index += 1
    if tokens[index].kind == TokenKind.NUMBER and (end_index := match_enumerator(text, index)):  # `1) 1.20 2) 1.50`
        match.used.append(index)
        index = end_index
    return None if tokens[index].kind != TokenKind.NUMBER or is_lot_count(text, index) else index


def may_be_year(text: TokenizedText, index: int, previous: Number) -> bool:
    """Whether the number may be a year and not the next price of the list, as in `2340 2024 edition`."""
    token = text.tokens[index]
    if _YEAR.fullmatch(token.text) is None or text.tokens[index + 1].kind != TokenKind.WORD or previous.value is None:
        return False
    return abs(int(token.text) - previous.value) > _MAX_TARGET_STEP_FRACTION * previous.value


# The entry


def match_entry(text: TokenizedText, index: int) -> Match:
    """Match the entry that begins with this number: one price, or the two ends of a zone."""
    match = Match(index)
    measurement_end = match_measurement(text, index)
    if measurement_end is not None:
        report_relative_price(text, index, measurement_end, match)
        return match
    first = read_price(text, index, match)
    if first is not None:
        match.numbers.append(first)
        second = read_zone_end(text, match)
        if second is not None:
            match.numbers.append(expand_zone_end(first, second, match))
    match.end_index = skip_annotations(text, match.end_index, match)
    report_extra_price(text, index, match)
    read_closing_bracket(text, index, match)
    return match


def read_zone_end(text: TokenizedText, match: Match) -> Number | None:
    """Read the second price of a zone, if a separator and a price follow the first."""
    tokens = text.tokens
    index = skip_currency(text, match.end_index)
    if tokens[index].text not in _ZONE_SEPARATORS and tokens[index].kind != TokenKind.RANGE_WORD:
        return None
    index = skip_currency(text, index + 1)
    token = tokens[index]
    if token.kind != TokenKind.NUMBER or match_measurement(text, index) is not None:
        return None
    if parse_exact(token.text) is not None or not token.text.isdigit():
        return read_price(text, index, match, follows_zone_dash=True)
    # `4105-03`: the second number is only the end of a price.
    match.end_index = index + 1
    match.used.append(index)
    match.levels_end = max(match.levels_end, token.end)
    return Number(token.text, token.start, token.end)


def skip_currency(text: TokenizedText, index: int) -> int:
    while text.tokens[index].text == "$" or text.tokens[index].kind == TokenKind.CURRENCY:
        index += 1
    return index


def expand_zone_end(first: Number, second: Number, match: Match) -> Number:
    """Complete the second end of `4105-03` or `134.30/35` with the digits that both ends share.

    A second end without a value that cannot be completed near the first one is reported.
    """
    if first.value is None:
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
        match.problems.append(("ambiguous_number", "Write both ends of the zone in full.", first.start, second.end))
    return second


def report_extra_price(text: TokenizedText, index: int, match: Match) -> None:
    """Report a second price without a separator, or a third one: neither has a certain meaning."""
    following = match.end_index
    while text.tokens[following].text in _ZONE_SEPARATORS or text.tokens[following].text == ",":
        following += 1
    if text.tokens[following].kind != TokenKind.NUMBER or is_lot_count(text, following):
        return
    if match_measurement(text, following) is not None or match_enumerator(text, following) is not None:
        return
    start, end = text.tokens[index].start, text.tokens[following].end
    hint = "Write one entry price, or a zone with a dash like 1.0850-1.0860."
    match.problems.append(("bad_entry", hint, start, end))
    match.levels_end = max(match.levels_end, end)
    match.end_index = following + 1


def read_closing_bracket(text: TokenizedText, index: int, match: Match) -> None:
    """Read the end of `[@1.0860]` and of `[@1.0860 - Optional]`, a published example that people copy."""
    tokens = text.tokens
    is_bracketed = tokens[index - 1].text == "[" or tokens[index - 2].text == "["
    end_index = match.end_index
    if is_bracketed and tokens[end_index].text == "-" and tokens[end_index + 1].text == "OPTIONAL":
        match.notes.append((end_index + 1, end_index + 2))
        end_index += 2
    closing = tokens[end_index]
    is_closed = closing.text == "]"
    if is_closed != is_bracketed:
        hint = "Write the entry as @1.0860 or [@1.0860], with both brackets."
        end = closing.end if is_closed else tokens[end_index - 1].end
        match.problems.append(("bad_entry", hint, tokens[index].start, end))
    match.end_index = end_index + is_closed
    following = tokens[match.end_index]
    if is_closed and following.text == "]":
        match.problems.append(("bad_entry", "Close the bracket once.", following.start, following.end))


# Notes beside a price


def skip_annotations(text: TokenizedText, index: int, match: Match) -> int:
    """Return the index after what stands beside a price and changes nothing, such as `$ (30 pips)`."""
    end_index: int | None = index
    while end_index is not None and text.tokens[end_index].kind in _ANNOTATION_KINDS:
        index = end_index
        end_index = skip_annotation(text, index, match)
    return index if end_index is None else end_index


def skip_annotation(text: TokenizedText, index: int, match: Match) -> int | None:
    token = text.tokens[index]
    if token.kind == TokenKind.CURRENCY or token.text == "$" or (token.text == "+" and text.is_adjacent(index)):
        match.used.append(index)
        return index + 1
    start_index = index
    if token.text in ("(", "["):
        end_index = match_bracketed_note(text, index)
    else:
        while text.tokens[start_index].text in _ANNOTATION_MARKS:
            start_index += 1
        is_number = text.tokens[start_index].kind == TokenKind.NUMBER
        end_index = match_measurement(text, start_index) if is_number else None
        if end_index is not None and ends_relative_list(text, index, start_index):
            return None
    if end_index is not None:
        match.notes.append((start_index, end_index))
    return end_index


def ends_relative_list(text: TokenizedText, index: int, number_index: int) -> bool:
    """Whether this is the end of `20 - 50 - 100 pips`, where all numbers are pips.

    A distance within ten times of the level before it is one; beside a price a distance is far smaller.
    """
    if text.tokens[number_index + 1].kind != TokenKind.UNIT or number_index == index:
        return False
    level, distance = parse_exact(text.tokens[index - 1].text), parse_exact(text.tokens[number_index].text)
    return level is not None and distance is not None and level < 10 * distance and distance < 10 * level


def match_bracketed_note(text: TokenizedText, opening_index: int) -> int | None:
    """Return the index after a short remark in brackets without a label or a number that could be a price."""
    closing = ")" if text.tokens[opening_index].text == "(" else "]"
    is_noted = False
    for index in range(opening_index + 1, min(opening_index + _MAX_BRACKETED_NOTE_TOKENS, text.token_count)):
        token = text.tokens[index]
        if token.text == closing:
            return index + 1
        is_noted = is_noted or token.kind == TokenKind.NOTE
        may_be_price = token.kind == TokenKind.NUMBER and not is_noted and match_measurement(text, index) is None
        if token.kind in _NOTE_BREAKING_KINDS or may_be_price:
            return None
    return None
