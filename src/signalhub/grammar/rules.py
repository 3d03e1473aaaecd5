"""What to do at each kind of token: the rules of the text grammar, one function each, and the table of them.

A rule stands at `m.at`, reads what belongs to it and moves `m.at` behind that.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import entries, levels, symbols
from signalhub.grammar.draft import Found
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number
from signalhub.grammar.vocabulary import Kind

_SIDES: Final = {"B": Side.BUY, "L": Side.BUY, "S": Side.SELL}
_TYPES: Final = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "NOW": OrderType.MARKET,
    "INSTANTLY": OrderType.MARKET,
    "AT": OrderType.MARKET,
    "TRIGGER": OrderType.STOP,
    "STOP": OrderType.STOP,
}
_LINE_KINDS: Final = frozenset({Kind.NEWLINE, Kind.SL, Kind.TP, Kind.ENTRY, Kind.STOP})
_CAPTION: Final = 2


def side(m: Message) -> None:
    token = m.tokens[m.at]
    value = _SIDES["S" if token.text == "SHORT" else token.text[0]]
    if not m.is_complete or not m.draft.sides:
        m.draft.sides.append(Found(value, token.start, token.end))
        m.side_at.append(m.at)
        m.expecting = True
        m.listing = False
    elif m.restart is None:
        m.restart = token
    m.structure(token)
    m.use(m.at, m.at + 1)
    m.at += 1


def order(m: Message) -> None:
    """`BUYLIMIT`: both in one word."""
    token = m.tokens[m.at]
    value = OrderType.STOP if token.text.endswith("STOP") else OrderType.LIMIT
    m.draft.order_types.append(Found(value, token.start, token.end))
    side(m)


def order_type(m: Message) -> None:
    token = m.tokens[m.at]
    name = token.text
    counts = not m.has_levels and (m.expecting or (name != "MARKET" and bool(m.draft.sides or m.draft.names)))
    if counts or m.tokens[m.at + 1].kind in (Kind.ENTRY, Kind.SIDE) or m.tokens[m.at - 1].text == ":":
        m.draft.order_types.append(Found(_TYPES[name], token.start, token.end))
        m.use(m.at, m.at + 1)
        m.expecting = bool(m.draft.sides or m.draft.names) and not m.has_levels
    m.at += 1


def stop(m: Message) -> None:
    """The order type right behind the side or, in the header, behind the symbol; everywhere else the stop loss."""
    token, before = m.tokens[m.at], m.tokens[m.at - 1]
    if before.kind is Kind.MARK and before.text in "-_" and m.is_glued(m.at):
        before = m.tokens[m.at - 2]
    ends_name = bool(m.draft.names) and m.draft.names[-1].end == before.end and bool(m.draft.sides)
    is_type = m.at > 0 and (before.kind is Kind.SIDE or (ends_name and not m.draft.entries and not m.has_levels))
    if not is_type:
        stop_loss(m)
        return
    m.draft.order_types.append(Found(OrderType.STOP, token.start, token.end))
    m.use(m.at, m.at + 1)
    m.expecting = True
    m.at += 1


def stop_loss(m: Message) -> None:
    _labelled(m, m.draft.stops, "stop_loss", len(m.draft.stops) + 1)


def target(m: Message) -> None:
    crossed = _labelled(m, m.draft.targets, "take_profit", len(m.draft.targets) + 1)
    m.listing = crossed


def _labelled(m: Message, found: list[Number], field: str, expected: int) -> bool:
    """Read the prices behind a label; say whether they are, or may be, on the lines below it."""
    label = m.tokens[m.at]
    m.structure(label)
    m.expecting = m.listing = False
    first = m.at
    m.at = levels.behind_index(m, m.at + 1, expected)
    number, crossed = levels.seek(m, m.at)
    if number is None:
        _without_value(m, first, field)
        return True
    m.use(first, number)
    numbers, m.at = levels.prices(m, number)
    found.extend(numbers)
    return crossed


def _without_value(m: Message, first: int, field: str) -> None:
    """A label in a sentence is a mention, but one with a number on its line is a price we could not read."""
    following = m.tokens[m.at]
    while following.kind is Kind.MARK:
        m.at += 1
        following = m.tokens[m.at]
    label = m.tokens[first]
    m.use(first, first + 1)
    if following.kind is Kind.OPEN:
        m.note(m.at, m.at + 1)
    elif following.kind is Kind.VOID or (number := _number_on_line(m, m.at)) is not None:
        at = m.at if following.kind is Kind.VOID else number
        start, end = m.tokens[at].start, m.run_from(m.tokens[at].start)
        m.level(Number("", start, end))
        m.draft.fault("bad_price", "Write the price right behind its label, like SL 1.0850.", start, end)
        m.use(m.at, at + 1)
        m.at = at + 1
    m.draft.empty.setdefault(field, Found(label.text, label.start, label.end))


def _number_on_line(m: Message, at: int) -> int | None:
    while m.tokens[at].kind not in _LINE_KINDS:
        if m.tokens[at].kind is Kind.NUMBER:
            return at if levels.measure(m, at) is None else None
        at += 1
    return None


def entry(m: Message) -> None:
    label, first = m.tokens[m.at], m.at
    m.structure(label)
    m.listing = False
    m.at = levels.behind_index(m, m.at + 1, 0)
    number, _ = levels.seek(m, m.at)
    if number is None:
        _without_entry(m, first)
        return
    m.use(first, number)
    entries.read(m, number)


def _without_entry(m: Message, first: int) -> None:
    """`Entry: NOW` names the order type; `Entry:` alone must not turn into a market order unnoticed."""
    while m.tokens[m.at].kind is Kind.MARK:
        m.at += 1
    m.use(first, first + 1)
    m.expecting = True
    if m.tokens[m.at].kind is not Kind.TYPE and m.tokens[first - 1].kind is not Kind.TYPE:
        label = m.tokens[first]
        m.draft.empty.setdefault("entry", Found(label.text, label.start, label.end))


def at_word(m: Message) -> None:
    """`below`, `from`, `@`: a price is coming, if the header has begun."""
    m.expecting = m.expecting or bool((m.draft.sides or m.draft.names) and not m.has_levels)
    m.at += 1


def quantity(m: Message) -> None:
    number, crossed = levels.seek(m, m.at + 1)
    if number is None or crossed:
        m.at += 1
        return
    m.use(m.at, number)
    m.at = number
    take_quantity(m)


def take_quantity(m: Message) -> None:
    token = m.tokens[m.at]
    value = levels.exact(token.text)
    following = m.tokens[m.at + 1]
    is_torn = m.is_glued(m.at + 1) and (following.text == "%" or following.kind is Kind.WORD)
    if value is None or value == Decimal(0) or is_torn or levels.is_negative(m, m.at):
        m.draft.fault("bad_quantity", "Write the quantity as a number above 0, like LOT 0.05.", token.start, token.end)
    else:
        m.draft.quantities.append(Number(token.text, token.start, token.end, value))
    m.use(m.at, m.at + 1)
    m.at += 1
    rest_of_line(m)


def note(m: Message) -> None:
    m.at += 1
    rest_of_line(m, m.at - 1)


def rest_of_line(m: Message, first: int | None = None) -> None:
    """Leave the rest of the line aside, up to the next label."""
    first = m.at if first is None else first
    stops = _LINE_KINDS if m.draft.sides else _LINE_KINDS | {Kind.SIDE}
    while m.tokens[m.at].kind not in stops:
        m.at += 1
    m.note(first, m.at)


def number(m: Message) -> None:
    """A number no label announced: explained by its unit or its place, or a stray."""
    if _is_explained(m):
        return
    if m.listing:
        index = levels.behind_index(m, m.at, len(m.draft.targets) + 1)
        found, _ = levels.seek(m, index)
        numbers, m.at = levels.prices(m, m.at if found is None else found)
        m.draft.targets.extend(numbers)
    elif m.expecting:
        entries.read(m, m.at)
    else:
        token = m.tokens[m.at]
        m.strays.append(Number(token.text, token.start, token.end, levels.exact(token.text)))
        m.at += 1


def _is_explained(m: Message) -> bool:
    if m.tokens[m.at + 1].kind is Kind.OPTION:
        start, end = m.tokens[m.at].start, m.tokens[m.at + 1].end
        m.draft.fault("unsupported", "Options are not traded here: a strike looks like an entry.", start, end)
        m.at += 2
        return True
    if levels.lots(m, m.at):
        take_quantity(m)
        return True
    behind = levels.measure(m, m.at) or levels.enumerator(m, m.at) or _clock(m) or _part_of_word(m)
    if behind is None:
        return False
    m.note(m.at, behind)
    m.at = behind
    return True


def _clock(m: Message) -> int | None:
    """`02:25`, and dates such as `2020.02.24`, which have no other reading."""
    at = m.at
    if m.tokens[at].text.count(".") == 2:  # noqa: PLR2004
        return at + 1
    while m.tokens[at + 1].text == ":" and m.tokens[at + 2].kind is Kind.NUMBER and m.is_glued(at + 2):
        at += 2
    return at + 1 if at > m.at and len(m.tokens[m.at].text) <= _CAPTION else None


def _part_of_word(m: Message) -> int | None:
    """The figure in `H1`, `#12` or `Signal 6`, and the unknown ticker `1INCHUSDT`."""
    token, before, following = m.tokens[m.at], m.tokens[m.at - 1], m.tokens[m.at + 1]
    if not token.text.isdigit():
        return None
    if m.at and m.is_glued(m.at) and (before.text == "#" or before.kind in (Kind.WORD, Kind.CLOCK, Kind.UNIT)):
        return m.at + 1
    if before.kind is Kind.FILLER and len(token.text) <= _CAPTION and not m.draft.sides:
        return m.at + 1
    if m.is_glued(m.at + 1) and following.kind is Kind.WORD and following.text != "K" and not m.expecting:
        return m.at + 2
    return None


def word(m: Message) -> None:
    read = symbols.known(m, m.at)
    if read is not None:
        _take_name(m, read)
        return
    if m.asset_at == m.at and (read := symbols.unknown(m, m.at)):
        m.assets.append(read[0])
        m.structure(m.tokens[m.at])
        m.at = read[1]
        return
    m.expecting = False
    m.at += 1


def money(m: Message) -> None:
    """`USD` stands beside a price, or begins a pair."""
    read = symbols.known(m, m.at)
    if read is None:
        m.at += 1
    else:
        _take_name(m, read)


def _take_name(m: Message, read: tuple[symbols.Name, int]) -> None:
    name, behind = read
    token = m.tokens[m.at]
    if m.is_complete and m.draft.names:
        if m.restart is None and name.name != m.draft.names[0].name:
            m.restart = token
    else:
        m.draft.names.append(name)
        m.expecting = not m.has_levels and not m.draft.entries
        m.structure(token)
    m.use(m.at, behind)
    m.at = behind


def asset(m: Message) -> None:
    at = m.at + 1
    while m.tokens[at].kind is Kind.MARK:
        at += 1
    m.asset_at = at
    m.use(m.at, m.at + 1)
    m.at += 1


def newline(m: Message) -> None:
    m.at += 1


def skip(m: Message) -> None:
    m.at += 1


def remark(m: Message) -> None:
    """A word that may tell of an open trade, a negation or a condition: judged when the whole text is read."""
    m.remarks.append(m.at)
    m.expecting = False
    m.at += 1


def unit(m: Message) -> None:
    """`x20` is leverage; a unit without a number is a word."""
    if m.tokens[m.at].text == "X" and m.tokens[m.at + 1].kind is Kind.NUMBER and m.is_glued(m.at + 1):
        m.note(m.at, m.at + 2)
        m.at += 2
    else:
        word(m)


def mark(m: Message) -> None:
    token = m.tokens[m.at]
    rule = _MARKS.get(token.text)
    if rule is None:
        m.at += 1
    else:
        rule(m)


def _slash(m: Message) -> None:
    read = symbols.slashed(m, m.at)
    if read is None:
        m.at += 1
    else:
        _take_name(m, read)


def _tag(m: Message) -> None:
    """`#BTC` or `$AAPL`: a symbol if nothing else is one. `#id` and `#sim` are read before."""
    following = m.tokens[m.at + 1]
    if following.kind is Kind.WORD and m.is_glued(m.at + 1) and symbols.known(m, m.at + 1) is None:
        read = symbols.unknown(m, m.at + 1)
        if read is not None:
            m.tags.append(read[0])
            m.expecting = m.expecting or bool(m.draft.sides and not m.has_levels)
            m.at = read[1]
            return
    m.at += 1


def _at_sign(m: Message) -> None:
    """An entry, if a number follows; a handle, if a word hangs on it; else an entry someone forgot to fill in."""
    following = m.tokens[m.at + 1]
    number, crossed = levels.seek(m, m.at + 1)
    if number is not None and not crossed:
        m.use(m.at, number)
        entries.read(m, number)
        return
    is_handle = following.kind not in (Kind.MARK, Kind.NEWLINE, Kind.NUMBER) and m.is_glued(m.at + 1)
    if m.expecting and (is_handle or following.kind in (Kind.MARK, Kind.NEWLINE, Kind.VOID)):
        start, end = m.tokens[m.at].start, m.run_from(m.tokens[m.at].start)
        m.draft.fault("bad_entry", "Write the entry price behind the @, like @1.0860.", start, end)
        m.level(Number("", start, end))
    m.at += 1
    while is_handle and m.is_glued(m.at) and m.tokens[m.at].kind is not Kind.NEWLINE:
        m.at += 1


_MARKS: Final[dict[str, Callable[[Message], None]]] = {
    "@": _at_sign,
    "/": _slash,
    "#": _tag,
    "$": _tag,
    "[": entries.bracket,
}

RULES: Final[dict[Kind, Callable[[Message], None]]] = {
    Kind.SIDE: side,
    Kind.ORDER: order,
    Kind.TYPE: order_type,
    Kind.STOP: stop,
    Kind.SL: stop_loss,
    Kind.TP: target,
    Kind.ENTRY: entry,
    Kind.AT: at_word,
    Kind.FILLER: skip,
    Kind.TO: skip,
    Kind.QUANTITY: quantity,
    Kind.NOTE: note,
    Kind.OPEN: remark,
    Kind.VOID: word,
    Kind.ASSET: asset,
    Kind.UNIT: unit,
    Kind.CLOCK: word,
    Kind.CALENDAR: word,
    Kind.OPTION: word,
    Kind.MONEY: money,
    Kind.MANAGE: remark,
    Kind.DONE: remark,
    Kind.WHEN: remark,
    Kind.NOT: remark,
    Kind.NO: remark,
    Kind.IF: remark,
    Kind.WORD: word,
    Kind.NUMBER: number,
    Kind.NEWLINE: newline,
    Kind.MARK: mark,
    Kind.LINK: skip,
}
