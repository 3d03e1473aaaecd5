"""Is the text an order at all? Talk about open trades, reports, negations and chat are refused as what they are.

A text that makes a complete signal is still refused if it says on the way that it is none.
"""

from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.grammar.lexer import Token
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.vocabulary import TokenKind

_TRADE_UPDATE_KINDS: Final = frozenset({TokenKind.MANAGEMENT, TokenKind.TRADE_OUTCOME})
_LEVEL_KINDS: Final = frozenset({TokenKind.SL, TokenKind.TP, TokenKind.STOP_WORD})
_LEVEL_REACHED_WORDS: Final = frozenset({"HIT", "HITS", "REACHED", "ACHIEVED"})
_KINDS_BETWEEN_NEGATION_AND_SIDE: Final = frozenset(
    {TokenKind.WORD, TokenKind.FILLER, TokenKind.PRICE_PREFIX, TokenKind.RANGE_WORD, TokenKind.ENTRY}
)
_MAX_NEGATION_DISTANCE_TOKENS: Final = 4  # tokens from a negation to the side it negates
_ENCOURAGEMENT_WORDS: Final = frozenset({"MISS", "WORRY", "FORGET", "HESITATE", "DELAY"})
_READER_WORDS: Final = frozenset({"YOU", "YOUR", "U", "ANYONE", "INTERESTED", "MISSED"})
_CONDITION_WORDS: Final = frozenset({"IF", "UNLESS", "WAIT", "WAITING"})

_MANAGEMENT_HINT: Final = "This reads as news about an open trade. Orders are closed or cancelled on the order itself."
_COMMENTARY_HINT: Final = "This reads as a comment. A signal is BUY or SELL, a symbol, SL and TP."
_CONDITION_HINT: Final = "An order cannot wait for a condition. Write BUY STOP or SELL LIMIT with a price instead."
_NEGATION_HINT: Final = "This says what not to trade."


def reject_non_orders(state: ParserState) -> None:
    is_signal = bool(state.fields.sides and state.fields.symbols and state.is_complete)
    refusal = _find_rejection(state, is_signal=is_signal)
    if (
        refusal is None
        and not state.fields.sides
        and not state.has_levels
        and not state.fields.empty_labels
        and not state.fields.problems
    ):
        refusal = ("commentary", _COMMENTARY_HINT, state.tokens[0])
    if refusal is not None:
        code, hint, token = refusal
        state.fields.reject(code, hint, token.start, token.end)


def _find_rejection(state: ParserState, *, is_signal: bool) -> tuple[GrammarErrorCode, str, Token] | None:
    lines: dict[int, frozenset[str]] = {}
    line_end = state.source.clean.find("\n", state.signal_end) % (
        len(state.source.clean) + 1
    )  # -1 is the end of the text
    line_start = state.source.clean.rfind("\n", 0, max(state.signal_start, 0)) + 1
    above = state.source.clean.rfind("\n", 0, len(state.source.clean[:line_start].rstrip())) + 1
    for at in state.remark_indexes:
        token = state.tokens[at]
        if token.kind in _TRADE_UPDATE_KINDS and (not is_signal or _is_about_open_trade(state, at, lines)):
            return "management", _MANAGEMENT_HINT, token
        if _negates_side(state, at):
            return "commentary", _NEGATION_HINT, token
        if (
            is_signal
            and token.kind == TokenKind.CONDITION
            and above <= token.start < line_end
            and _is_condition(state, at, line_start)
        ):
            return "commentary", _CONDITION_HINT, token
    if is_signal and (quote := _find_quotation_mark(state)) is not None:
        return "commentary", _COMMENTARY_HINT, quote
    return None


def _negates_side(state: ParserState, index: int) -> bool:
    """`Do not take this BUY`, as against `Don't miss this BUY` and `No worries. BUY`."""
    if state.tokens[index].kind not in (TokenKind.NEGATION, TokenKind.WITHOUT):
        return False
    if TokenKind.SIDE in (state.tokens[index + 1].kind, state.tokens[index + 2].kind):
        return True
    for token in state.tokens[index + 1 : index + _MAX_NEGATION_DISTANCE_TOKENS + 1]:
        if token.kind == TokenKind.SIDE:
            return True
        if (
            token.kind not in _KINDS_BETWEEN_NEGATION_AND_SIDE and token.text != ":"
        ) or token.text in _ENCOURAGEMENT_WORDS:
            return False
    return False


def _is_condition(state: ParserState, index: int, line_start: int) -> bool:
    """`If it breaks`, also on the line above the signal; `If you missed the last one` is a word to the reader."""
    token = state.tokens[index]
    if token.start >= line_start:
        return True
    return token.text in _CONDITION_WORDS and state.tokens[index + 1].text not in _READER_WORDS


def _is_about_open_trade(state: ParserState, index: int, kinds_by_line_start: dict[int, frozenset[str]]) -> bool:
    """Inside the signal always; behind it unless it is advice on what to do later."""
    token = state.tokens[index]
    if token.start < state.signal_end:
        return token.start >= state.signal_start or token.text not in _LEVEL_REACHED_WORDS
    if token.kind == TokenKind.MANAGEMENT:
        return False
    start = state.source.clean.rfind("\n", 0, token.start)
    if start not in kinds_by_line_start:
        kinds_by_line_start[start] = _collect_line_kinds(state, index)
    kinds = kinds_by_line_start[start]
    return not kinds & {TokenKind.TIME_CONDITION, TokenKind.CONDITION} and (
        token.text not in _LEVEL_REACHED_WORDS or bool(kinds & _LEVEL_KINDS)
    )


def _collect_line_kinds(state: ParserState, index: int) -> frozenset[str]:
    first = last = index
    while first > 0 and state.tokens[first - 1].kind != TokenKind.NEWLINE:
        first -= 1
    while state.tokens[last].kind != TokenKind.NEWLINE:
        last += 1
    return frozenset(token.kind for token in state.tokens[first:last])


def _find_quotation_mark(state: ParserState) -> Token | None:
    """The mark of a quotation at the start of the line the signal begins on."""
    line_start = state.source.clean.rfind("\n", 0, state.signal_start) + 1
    first = next(token for token in state.tokens if token.start >= line_start)
    return first if first.text == ">" else None
