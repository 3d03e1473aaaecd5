"""Refuse texts that are not orders: talk about open trades, results, negations, conditions and chat.

A text with all fields of a signal is still refused if it says elsewhere that it is not one.
"""

from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.grammar.lexer import Token
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.vocabulary import TokenKind

_TRADE_UPDATE_KINDS: Final = frozenset({TokenKind.MANAGEMENT, TokenKind.TRADE_OUTCOME})
_LEVEL_KINDS: Final = frozenset({TokenKind.SL, TokenKind.TP, TokenKind.STOP_WORD})
_CONDITION_KINDS: Final = frozenset({TokenKind.TIME_CONDITION, TokenKind.CONDITION})
_LEVEL_REACHED_WORDS: Final = frozenset({"HIT", "HITS", "REACHED", "ACHIEVED"})
_KINDS_BETWEEN_NEGATION_AND_SIDE: Final = frozenset(
    {TokenKind.WORD, TokenKind.FILLER, TokenKind.PRICE_PREFIX, TokenKind.RANGE_WORD, TokenKind.ENTRY}
)
_MAX_NEGATION_DISTANCE_TOKENS: Final = 4
_ENCOURAGEMENT_WORDS: Final = frozenset({"MISS", "WORRY", "FORGET", "HESITATE", "DELAY"})
_READER_WORDS: Final = frozenset({"YOU", "YOUR", "U", "ANYONE", "INTERESTED", "MISSED"})
_CONDITION_WORDS: Final = frozenset({"IF", "UNLESS", "WAIT", "WAITING"})

_MANAGEMENT_HINT: Final = "This reads as news about an open trade. Orders are closed or cancelled on the order itself."
_COMMENTARY_HINT: Final = "This reads as a comment. A signal is BUY or SELL, a symbol, SL and TP."
_CONDITION_HINT: Final = "An order cannot wait for a condition. Write BUY STOP or SELL LIMIT with a price instead."
_NEGATION_HINT: Final = "This says what not to trade."


def reject_non_orders(state: ParserState) -> None:
    """Refuse a text that is not an order, with the token that says so."""
    fields = state.fields
    is_signal = bool(fields.sides and fields.symbols and state.is_complete)
    rejection = find_rejection(state, is_signal=is_signal)
    is_empty = not (fields.sides or state.has_levels or fields.empty_labels or fields.problems)
    if rejection is None and is_empty:
        rejection = ("commentary", _COMMENTARY_HINT, state.tokens[0])
    if rejection is not None:
        code, hint, token = rejection
        fields.reject(code, hint, token.start, token.end)


def find_rejection(state: ParserState, *, is_signal: bool) -> tuple[GrammarErrorCode, str, Token] | None:
    """Return code, hint and token of the first remark that makes the text something other than an order."""
    if state.remark_indexes:
        text = state.text
        line_end = text.find_line_end(state.signal_end)
        line_start = text.find_line_start(max(state.signal_start, 0))
        previous_line_start = text.find_line_start(len(text.source.clean[:line_start].rstrip()))
        # Many remarks can stand on one line, whose kinds are collected once.
        kinds_by_line_start: dict[int, frozenset[str]] = {}
        for index in state.remark_indexes:
            token = state.tokens[index]
            if token.kind in _TRADE_UPDATE_KINDS and (
                not is_signal or is_about_open_trade(state, index, kinds_by_line_start)
            ):
                return "management", _MANAGEMENT_HINT, token
            if negates_side(state, index):
                return "commentary", _NEGATION_HINT, token
            is_near_signal = is_signal and previous_line_start <= token.start < line_end
            if token.kind == TokenKind.CONDITION and is_near_signal and is_condition(state, index, line_start):
                return "commentary", _CONDITION_HINT, token
    if is_signal and (mark := find_quotation_mark(state)) is not None:
        return "commentary", _COMMENTARY_HINT, mark
    return None


def negates_side(state: ParserState, index: int) -> bool:
    """Whether this is `Do not take this BUY`, as opposed to `Don't miss this BUY` and `No worries. BUY`."""
    tokens = state.tokens
    if tokens[index].kind not in (TokenKind.NEGATION, TokenKind.WITHOUT):
        return False
    if TokenKind.SIDE in (tokens[index + 1].kind, tokens[index + 2].kind):
        return True
    for token in tokens[index + 1 : index + _MAX_NEGATION_DISTANCE_TOKENS + 1]:
        if token.kind == TokenKind.SIDE:
            return True
        is_connected = token.kind in _KINDS_BETWEEN_NEGATION_AND_SIDE or token.text == ":"
        if not is_connected or token.text in _ENCOURAGEMENT_WORDS:
            return False
    return False


def is_condition(state: ParserState, index: int, line_start: int) -> bool:
    """Whether this is `If it breaks`; above the signal `If you missed the last one` speaks to the reader."""
    token = state.tokens[index]
    if token.start >= line_start:
        return True
    return token.text in _CONDITION_WORDS and state.tokens[index + 1].text not in _READER_WORDS


def is_about_open_trade(state: ParserState, index: int, kinds_by_line_start: dict[int, frozenset[str]]) -> bool:
    """Whether a remark is about an open trade: inside the signal always, after it unless it is advice for later."""
    token = state.tokens[index]
    if token.start < state.signal_end:
        return token.start >= state.signal_start or token.text not in _LEVEL_REACHED_WORDS
    if token.kind == TokenKind.MANAGEMENT:
        return False
    line_start = state.text.find_line_start(token.start)
    if line_start not in kinds_by_line_start:
        kinds_by_line_start[line_start] = collect_line_kinds(state, index)
    kinds = kinds_by_line_start[line_start]
    return not kinds & _CONDITION_KINDS and (token.text not in _LEVEL_REACHED_WORDS or bool(kinds & _LEVEL_KINDS))


def collect_line_kinds(state: ParserState, index: int) -> frozenset[str]:
    """Return the kinds of all tokens on the line of a token."""
    start_index = end_index = index
    while start_index > 0 and state.tokens[start_index - 1].kind != TokenKind.NEWLINE:
        start_index -= 1
    while state.tokens[end_index].kind != TokenKind.NEWLINE:
        end_index += 1
    return frozenset(token.kind for token in state.tokens[start_index:end_index])


def find_quotation_mark(state: ParserState) -> Token | None:
    """Return the `>` at the start of the line on which the signal begins."""
    line_start = state.text.source.clean.rfind("\n", 0, state.signal_start) + 1
    first = next(token for token in state.tokens if token.start >= line_start)
    return first if first.text == ">" else None
