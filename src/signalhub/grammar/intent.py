"""Is the text an order at all? Talk about open trades, reports, negations and chat are refused as what they are.

A text that makes a complete signal is still refused if it says on the way that it is none.
"""

from typing import Final

from signalhub.grammar.message import Message
from signalhub.grammar.scan import Token
from signalhub.grammar.vocabulary import Kind

_TRADED: Final = frozenset({Kind.MANAGE, Kind.DONE})
_LEVELS: Final = frozenset({Kind.SL, Kind.TP, Kind.STOP})
_TOUCHED: Final = frozenset({"HIT", "HITS", "REACHED", "ACHIEVED"})
_BETWEEN: Final = frozenset({Kind.WORD, Kind.FILLER, Kind.AT, Kind.TO, Kind.ENTRY})
_FARTHEST: Final = 4  # tokens from a negation to the side it negates
_ENCOURAGING: Final = frozenset({"MISS", "WORRY", "FORGET", "HESITATE", "DELAY"})
_READER: Final = frozenset({"YOU", "YOUR", "U", "ANYONE", "INTERESTED", "MISSED"})
_CONDITIONS: Final = frozenset({"IF", "UNLESS", "WAIT", "WAITING"})

_MANAGEMENT: Final = "This reads as news about an open trade. Orders are closed or cancelled on the order itself."
_COMMENTARY: Final = "This reads as a comment. A signal is BUY or SELL, a symbol, SL and TP."
_CONDITION: Final = "An order cannot wait for a condition. Write BUY STOP or SELL LIMIT with a price instead."
_NEGATION: Final = "This says what not to trade."


def settle(m: Message) -> None:
    is_signal = bool(m.draft.sides and m.draft.names and m.is_complete)
    refusal = _first(m, is_signal=is_signal)
    if refusal is None and not m.draft.sides and not m.has_levels and not m.draft.empty and not m.draft.problems:
        refusal = ("commentary", _COMMENTARY, m.tokens[0])
    if refusal is not None:
        code, hint, token = refusal
        m.draft.dismiss(code, hint, token.start, token.end)


def _first(m: Message, *, is_signal: bool) -> tuple[str, str, Token] | None:
    lines: dict[int, frozenset[str]] = {}
    line_end = m.text.clean.find("\n", m.reach) % (len(m.text.clean) + 1)  # -1 is the end of the text
    line_start = m.text.clean.rfind("\n", 0, max(m.begin, 0)) + 1
    above = m.text.clean.rfind("\n", 0, len(m.text.clean[:line_start].rstrip())) + 1
    for at in m.remarks:
        token = m.tokens[at]
        if token.kind in _TRADED and (not is_signal or _is_about_trade(m, at, lines)):
            return "management", _MANAGEMENT, token
        if _negates_side(m, at):
            return "commentary", _NEGATION, token
        if is_signal and token.kind == Kind.IF and above <= token.start < line_end and _is_condition(m, at, line_start):
            return "commentary", _CONDITION, token
    if is_signal and (quote := _quoted(m)) is not None:
        return "commentary", _COMMENTARY, quote
    return None


def _negates_side(m: Message, at: int) -> bool:
    """`Do not take this BUY`, as against `Don't miss this BUY` and `No worries. BUY`."""
    if m.tokens[at].kind not in (Kind.NOT, Kind.NO):
        return False
    if Kind.SIDE in (m.tokens[at + 1].kind, m.tokens[at + 2].kind):
        return True
    for token in m.tokens[at + 1 : at + _FARTHEST + 1]:
        if token.kind == Kind.SIDE:
            return True
        if (token.kind not in _BETWEEN and token.text != ":") or token.text in _ENCOURAGING:
            return False
    return False


def _is_condition(m: Message, at: int, line_start: int) -> bool:
    """`If it breaks`, also on the line above the signal; `If you missed the last one` is a word to the reader."""
    token = m.tokens[at]
    if token.start >= line_start:
        return True
    return token.text in _CONDITIONS and m.tokens[at + 1].text not in _READER


def _is_about_trade(m: Message, at: int, lines: dict[int, frozenset[str]]) -> bool:
    """Inside the signal always; behind it unless it is advice on what to do later."""
    token = m.tokens[at]
    if token.start < m.reach:
        return token.start >= m.begin or token.text not in _TOUCHED
    if token.kind == Kind.MANAGE:
        return False
    start = m.text.clean.rfind("\n", 0, token.start)
    if start not in lines:
        lines[start] = _kinds_of_line(m, at)
    kinds = lines[start]
    return not kinds & {Kind.WHEN, Kind.IF} and (token.text not in _TOUCHED or bool(kinds & _LEVELS))


def _kinds_of_line(m: Message, at: int) -> frozenset[str]:
    first = last = at
    while first > 0 and m.tokens[first - 1].kind != Kind.NEWLINE:
        first -= 1
    while m.tokens[last].kind != Kind.NEWLINE:
        last += 1
    return frozenset(token.kind for token in m.tokens[first:last])


def _quoted(m: Message) -> Token | None:
    """The mark of a quotation at the start of the line the signal begins on."""
    line_start = m.text.clean.rfind("\n", 0, m.begin) + 1
    first = next(token for token in m.tokens if token.start >= line_start)
    return first if first.text == ">" else None
