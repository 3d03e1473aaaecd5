"""Match numbers that are not prices: measurements, line numbers of lists, indexes of labels."""

import re
from typing import Final

import msgspec

from signalhub.grammar.lexer import Token
from signalhub.grammar.parsed_fields import ProblemArguments
from signalhub.grammar.parser_state import TokenizedText
from signalhub.grammar.vocabulary import TokenKind

_ORDINAL_SUFFIXES: Final = frozenset({"ST", "ND", "RD", "TH"})
_SMALL_INTEGER: Final = re.compile(r"[1-9]|1[0-2]", re.ASCII)
_INDEX_AND_PRICE: Final = re.compile(r"([1-9]|1[0-2])[.,]([0-9]+\.[0-9]+)", re.ASCII)
_LIST_SEPARATORS: Final = frozenset("/,|&;>")
_LIST_SEPARATORS_AND_DASH: Final = frozenset("/,|&;>-")
_DASHES: Final = frozenset("-_")
_UNIT_KINDS: Final = frozenset({TokenKind.UNIT, TokenKind.TIME_UNIT})
_KINDS_BEFORE_LABELLED_PRICE: Final = frozenset(
    {TokenKind.MARK, TokenKind.PRICE_PREFIX, TokenKind.FILLER, TokenKind.CURRENCY}
)
_MAX_ENUMERATOR_DIGITS: Final = 2
_MAX_CHAIN_NUMBERS: Final = 4


class IndexMatch(msgspec.Struct, frozen=True, gc=False):
    """An optional line number or label index. `used_index` is the token of the number, or -1 if there is none.

    `price_token` replaces the token at `end_index` where one token holds index and price, as in `TP1.1.0890`.
    """

    end_index: int
    used_index: int = -1
    problem: ProblemArguments | None = None
    price_token: Token | None = None


def match_measurement(text: TokenizedText, index: int) -> int | None:
    """Return the index after `20 pips`, `5-10x`, `12.5%`, `15m` or `11 August`: a number that is not a price."""
    index += 1
    unit = text.tokens[index]
    if unit.text == "-":
        index = skip_number_chain(text, index)
        unit = text.tokens[index]
    kind = unit.kind
    if kind == TokenKind.MARK:
        return index + 1 if unit.text == "%" else None
    if kind in _UNIT_KINDS:
        return index + 1 if len(unit.text) > 1 or text.is_adjacent(index) else None
    is_counted = kind == TokenKind.MONTH or (unit.text in _ORDINAL_SUFFIXES and text.is_adjacent(index))
    return index + 1 if is_counted else None


def skip_number_chain(text: TokenizedText, index: int) -> int:
    """Return the index after `-10` or `-50-100`, if they follow the number before without a gap.

    At most 4 numbers: this runs for every number of a chain, so without a limit a long chain would cost its square.
    """
    tokens, last = text.tokens, index + 2 * _MAX_CHAIN_NUMBERS
    while index < last:
        before, dash, following = tokens[index - 1 : index + 2]
        if (
            dash.text != "-"
            or following.kind != TokenKind.NUMBER
            or before.end != dash.start
            or dash.end != following.start
        ):
            break
        index += 2
    return index


def match_enumerator(text: TokenizedText, index: int) -> int | None:
    """Return the index after `1)`, `2.` or `(3)`, if the number counts the lines of a list."""
    tokens = text.tokens
    token, mark = tokens[index], tokens[index + 1]
    if mark.kind != TokenKind.MARK or mark.start != token.end or len(token.text) > _MAX_ENUMERATOR_DIGITS:
        return None
    if mark.text == ")" and (
        tokens[index - 1].text == "(" or text.starts_line(index) or tokens[index + 2].kind == TokenKind.NUMBER
    ):
        return index + 2
    if mark.text in (".", ":") and tokens[index + 2].start > mark.end and text.starts_line(index):
        return index + 2
    return None


def match_line_number(text: TokenizedText, index: int, expected_number: int) -> IndexMatch:
    """Match the number that counts a line of a list, as in `1 - 1.0890`, `#2 1.0910` or `3= 1.0930`."""
    tokens = text.tokens
    first, index = index, index + (tokens[index].text == "#")
    if tokens[index].text != str(expected_number):
        return IndexMatch(first)
    price = index + 1
    while tokens[price].kind == TokenKind.MARK and tokens[price].text not in ",|&":
        price += 1
    if (
        tokens[price].kind != TokenKind.NUMBER
        or match_measurement(text, index) is not None
        or match_measurement(text, price) is not None
    ):
        return IndexMatch(first)
    following = price + 1
    while tokens[following].text in _LIST_SEPARATORS_AND_DASH:
        following += 1
    # With one more number, or a small one, the line could as well be a list of prices that begins with this number.
    is_list = tokens[following].kind == TokenKind.NUMBER and match_measurement(text, following) is None
    is_ambiguous = is_list or _SMALL_INTEGER.fullmatch(tokens[price].text) is not None
    return IndexMatch(price, index, build_ambiguous_index_problem(text, index, price) if is_ambiguous else None)


def build_ambiguous_index_problem(text: TokenizedText, index: int, price_index: int) -> ProblemArguments:
    hint = "Write TP1: 2 or TP 1, 2 to tell a number from a price."
    return "ambiguous_number", hint, text.tokens[index].start, text.tokens[price_index].end


def is_ratio(text: TokenizedText, index: int) -> bool:
    """Whether this is `1:2`, with no gap before the second number."""
    return (
        text.tokens[index + 1].text == ":"
        and text.tokens[index + 2].kind == TokenKind.NUMBER
        and text.is_adjacent(index + 2)
    )


def match_label_index(text: TokenizedText, index: int, expected_index: int) -> IndexMatch:
    """Match the index of `TP1`, `TP 1:` or `TP (1)`. A number that may be an index or a price is a price if last."""
    tokens = text.tokens
    token, label_end = tokens[index], tokens[index - 1].end
    is_hashed = token.text == "#"
    if is_hashed or (token.text in _DASHES and is_hyphenated_index(text, index)):
        index += 1
        token = tokens[index]
    if token.text == "(" and _SMALL_INTEGER.fullmatch(tokens[index + 1].text) and tokens[index + 2].text == ")":
        return IndexMatch(index + 3, index + 1)
    if token.kind != TokenKind.NUMBER:
        return IndexMatch(index)
    is_glued = is_hashed or token.start == label_end
    if is_glued and (parts := _INDEX_AND_PRICE.fullmatch(token.text)):
        price_token = Token(TokenKind.NUMBER, token.start + parts.start(2), token.end, parts[2])
        return IndexMatch(index, price_token=price_token)
    if _SMALL_INTEGER.fullmatch(token.text) is None or match_measurement(text, index) is not None:
        return IndexMatch(index)
    if is_glued or tokens[index + 1].text == ")":
        return IndexMatch(index + 1, index)
    return match_separate_index(text, index) if int(token.text) == expected_index else IndexMatch(index)


def is_hyphenated_index(text: TokenizedText, index: int) -> bool:
    """Whether a dash is that of `TP-1: 1.0890`, where only an index can precede the colon."""
    return (
        text.is_adjacent(index)
        and text.is_adjacent(index + 1)
        and text.tokens[index + 2].text in (":", "=")
        and _SMALL_INTEGER.fullmatch(text.tokens[index + 1].text) is not None
    )


def match_separate_index(text: TokenizedText, index: int) -> IndexMatch:
    """Match the expected index of a label after a gap, as in `TP 1 1.0890`: it is one if a price follows."""
    tokens = text.tokens
    following = tokens[index + 1]
    if is_ratio(text, index) or following.text in _LIST_SEPARATORS:
        return IndexMatch(index)
    price = index + 1
    while tokens[price].kind in _KINDS_BEFORE_LABELLED_PRICE:
        price += 1
    if tokens[price].kind != TokenKind.NUMBER:
        is_index = following.text == ":" or following.kind == TokenKind.RUNNER
        return IndexMatch(index + 1, index) if is_index else IndexMatch(index)
    is_ambiguous = _SMALL_INTEGER.fullmatch(tokens[price].text) is not None
    return IndexMatch(index + 1, index, build_ambiguous_index_problem(text, index, price) if is_ambiguous else None)
