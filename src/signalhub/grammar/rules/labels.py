"""Labels: stop loss, take profit and entry, with the prices behind them."""

from typing import Final

from signalhub.domain.signal import OrderType
from signalhub.grammar import entries, levels
from signalhub.grammar.draft import MOST_TARGETS, Found
from signalhub.grammar.measures import behind_index, is_ratio, line_index, measure
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number
from signalhub.grammar.rules.asides import QUOTES
from signalhub.grammar.scan import Token
from signalhub.grammar.vocabulary import Kind

_VALUE_ENDS: Final = frozenset(
    {Kind.NEWLINE, Kind.SL, Kind.TP, Kind.ENTRY, Kind.STOP, Kind.SIDE, Kind.DONE, Kind.MANAGE}
)


def stop_loss(m: Message) -> None:
    _read(m, m.draft.stops, "stop_loss")


def target(m: Message) -> None:
    m.listing = _read(m, m.draft.targets, "take_profit")


def _read(m: Message, found: list[Number], field: str) -> bool:
    """Read the prices behind a label; say whether they are, or may be, on the lines below it."""
    label = m.tokens[m.at]
    m.begins(label)
    label.used = True
    m.expecting = m.listing = False
    m.at = behind_index(m, m.at + 1, len(found) + 1)
    number, crossed = levels.seek(m, m.at)
    if number is None:
        _without_value(m, label, field)
        return True
    if crossed:
        number = levels.seek(m, line_index(m, number, len(found) + 1))[0] or number
    numbers, m.at = levels.prices(m, number)
    found.extend(numbers)
    m.draft.is_lost = m.draft.is_lost or len(found) > MOST_TARGETS
    return crossed


def _without_value(m: Message, label: Token, field: str) -> None:
    """A label in a sentence is a mention, but one with a number on its line is a price we could not read."""
    while m.tokens[m.at].kind == Kind.MARK and m.tokens[m.at].text != "\u2212":
        m.at += 1
    following = m.tokens[m.at]
    if following.kind == Kind.OPEN:
        m.note(m.at, m.at + 1)
        m.at += 1
    elif (unread := _unread_price(m)) is not None:
        start, end = m.tokens[unread].start, m.run_from(m.tokens[unread].start)
        m.reach = max(m.reach, end)
        m.draft.fault("bad_price", "Write the price right behind its label, like SL 1.0850.", start, end)
        m.at = unread + 1
    m.draft.empty.setdefault(field, Found(label.text, label.start, label.end))


def _unread_price(m: Message) -> int | None:
    """What stands where the price should: a failed calculation, foreign digits, or a number behind other words."""
    token = m.tokens[m.at]
    if token.kind == Kind.VOID or token.text == "\u2212" or (token.kind == Kind.WORD and token.text[0].isdigit()):
        return m.at
    at = m.at
    while m.tokens[at].kind not in _VALUE_ENDS:
        if m.tokens[at].kind == Kind.NUMBER:
            return at if measure(m, at) is None else None
        at += 1
    return None


def entry(m: Message) -> None:
    label = m.tokens[m.at]
    m.begins(label)
    label.used = True
    m.listing = False
    first = m.at
    m.at = _behind_count(m, m.at + 1)
    number, _ = levels.seek(m, m.at)
    if number is None:
        _without_entry(m, first)
    else:
        entries.read(m, number)


def _behind_count(m: Message, at: int) -> int:
    """Over the 1 of `Entry 1: 2345`. Without the colon it may be the low end of a zone."""
    is_count = len(m.tokens[at].text) == 1 and m.tokens[at + 1].text == ":" and not is_ratio(m, at)
    m.tokens[at].used = m.tokens[at].used or is_count
    return at + 1 if is_count and m.tokens[at].kind == Kind.NUMBER else at


def _without_entry(m: Message, first: int) -> None:
    """`Entry: NOW` and `Entry: market price` name the order type; `Entry:` alone must not become a market order."""
    while m.tokens[m.at].kind == Kind.MARK:
        m.at += 1
    m.expecting = True
    if m.tokens[m.at].kind == Kind.NOTE and m.tokens[m.at].text in QUOTES and m.tokens[m.at + 1].kind == Kind.NEWLINE:
        quote = m.tokens[m.at]
        m.draft.order_types.append(Found(OrderType.MARKET, quote.start, quote.end))
        m.use(m.at, m.at + 1)
        m.at += 1
    elif m.tokens[m.at].kind != Kind.TYPE and m.tokens[first - 1].kind != Kind.TYPE:
        label = m.tokens[first]
        m.draft.empty.setdefault("entry", Found(label.text, label.start, label.end))
