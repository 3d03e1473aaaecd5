"""Reading the entry: one price, or the two ends of a zone."""

from decimal import Decimal

from signalhub.grammar import levels
from signalhub.grammar.beside import skip_annotations
from signalhub.grammar.draft import EntryRange
from signalhub.grammar.measures import match_enumerator, match_measurement
from signalhub.grammar.message import ParserState
from signalhub.grammar.numbers import Number, parse_exact
from signalhub.grammar.vocabulary import TokenKind

_ZONE_SEPARATORS = frozenset({"-", "_", "/", "~"})
_MAX_ABBREVIATED_ZONE_FRACTION = Decimal("0.05")
_MAX_ZONE_RATIO = Decimal("1.5")


def read_entry(state: ParserState, index: int) -> None:
    """The entry whose number is at `at`, which may be the first of two."""
    state.expects_entry = False
    is_bracketed = state.tokens[index - 1].text == "[" or state.tokens[index - 2].text == "["
    behind = match_measurement(state, index)
    if behind is not None:
        state.pos = levels.report_relative_price(state, index, behind)
        return
    first, state.pos = levels.read_price(state, index)
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
    second, state.pos = levels.read_price(_mark_dash_as_separator(state, at), at)
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
    if state.tokens[following].kind != TokenKind.NUMBER or levels.is_lot_count(state, following):
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
