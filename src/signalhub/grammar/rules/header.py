"""The header: side, order type, symbol, and the words that announce the entry."""

from typing import Final

from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import symbols
from signalhub.grammar.draft import Found, Name
from signalhub.grammar.message import Message
from signalhub.grammar.rules.labels import stop_loss
from signalhub.grammar.vocabulary import Kind

_SIDES: Final = {"BUY": Side.BUY, "LONG": Side.BUY, "SELL": Side.SELL, "SHORT": Side.SELL}
_BEFORE_SYMBOL: Final = frozenset({Kind.SIDE, Kind.ORDER, Kind.TYPE, Kind.STOP})
_TYPES: Final = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "NOW": OrderType.MARKET,
    "INSTANTLY": OrderType.MARKET,
    "AT": OrderType.MARKET,
    "TRIGGER": OrderType.STOP,
}


def side(m: Message) -> None:
    token = m.tokens[m.at]
    value = _SIDES.get(token.text) or _SIDES["BUY" if token.text.startswith("BUY") else "SELL"]
    if m.is_complete and m.draft.sides:
        m.restarts.append(m.at)
    else:
        m.draft.sides.append(Found(value, token.start, token.end))
        m.sides_at.append(m.at)
        m.expecting = True
        m.listing = False
    m.begins(token)
    token.used = True
    m.at += 1


def order(m: Message) -> None:
    """`BUYLIMIT`: both in one word."""
    token = m.tokens[m.at]
    _take_type(m, OrderType.STOP if token.text.endswith("STOP") else OrderType.LIMIT)
    side(m)


def _take_type(m: Message, value: OrderType) -> None:
    token = m.tokens[m.at]
    token.used = True
    m.draft.order_types.append(Found(value, token.start, token.end))


def order_type(m: Message) -> None:
    """`market` is a common word, so it counts only where a price or a symbol is due."""
    name = m.tokens[m.at].text
    counts = not m.has_levels and (m.expecting or (name != "MARKET" and m.has_header))
    neighbours = m.tokens[m.at + 1].kind, m.tokens[m.at - 1].text
    if counts or neighbours[0] in (Kind.ENTRY, Kind.SIDE) or neighbours[1] == ":":
        _take_type(m, _TYPES[name])
        m.expecting = m.has_header and not m.has_levels
    m.at += 1


def stop(m: Message) -> None:
    """The order type right behind the side or, in the header, behind the symbol; everywhere else the stop loss."""
    before = m.tokens[m.at - 1]
    if before.text in ("-", "_") and m.is_glued(m.at):
        before = m.tokens[m.at - 2]
    is_behind_name = bool(m.draft.names and m.draft.sides) and m.draft.names[-1].end == before.end
    is_type = before.kind == Kind.SIDE or (is_behind_name and not m.draft.entries and not m.has_levels)
    if m.at == 0 or not is_type:
        stop_loss(m)
        return
    _take_type(m, OrderType.STOP)
    m.expecting = True
    m.at += 1


def at_word(m: Message) -> None:
    """`below`, `from`: a price is coming, if the header has begun. One that does not come is missed later."""
    if m.expecting:
        token = m.tokens[m.at]
        m.promised = m.promised or Found(token.text, token.start, token.end)
    m.expecting = m.expecting or (m.has_header and not m.has_levels)
    m.at += 1


def asset(m: Message) -> None:
    """`Symbol:` makes the next word a symbol, known or not."""
    at = m.at + 1
    while m.tokens[at].kind == Kind.MARK:
        at += 1
    m.asset_at = at
    m.at += 1


def word(m: Message) -> None:
    read = symbols.known(m, m.at)
    if read is not None:
        take_name(m, *read)
    elif m.asset_at == m.at and (read := symbols.unknown(m, m.at)):
        m.assets.append(read[0])
        m.begins(m.tokens[m.at])
        m.use(m.at, read[1])
        m.at = read[1]
    else:
        # Beside the side an unknown word is most likely the symbol, and the entry may still follow.
        m.expecting = m.expecting and m.tokens[m.at - 1].kind in _BEFORE_SYMBOL
        m.at = symbols.glued(m, m.at)[1]


def money(m: Message) -> None:
    """`USD` stands beside a price, or begins a pair."""
    read = symbols.known(m, m.at)
    if read is None:
        m.at += 1
    else:
        take_name(m, *read)


def take_name(m: Message, name: Name, behind: int) -> None:
    token = m.tokens[m.at]
    if m.is_complete and m.draft.names:
        if name.name != m.draft.names[0].name:
            m.restarts.append(m.at)
    else:
        m.draft.names.append(name)
        m.expecting = not m.has_levels and not m.draft.entries
        m.listing = False
        m.begins(token)
    m.use(m.at, behind)
    m.at = behind
