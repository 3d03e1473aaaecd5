"""What can be said of a text only when all of it is read: which name counts, which numbers stay unexplained, what the
text is about.
"""

from typing import Final

from signalhub.domain.signal import Side
from signalhub.grammar import symbols
from signalhub.grammar.characters import look_alike
from signalhub.grammar.draft import Found, Name
from signalhub.grammar.message import Message
from signalhub.grammar.numbers import Number
from signalhub.grammar.overhang import Overhang
from signalhub.grammar.scan import Token
from signalhub.grammar.vocabulary import KINDS, MEANINGS, Kind

_LABELS: Final = frozenset({Kind.SIDE, Kind.TYPE, Kind.STOP, Kind.SL, Kind.TP, Kind.ENTRY})
_BEHIND_NAME: Final = KINDS - {Kind.WORD, Kind.LINK, Kind.FILLER, Kind.TO}
_NEARBY: Final = 5  # tokens from a name to its side
_FARTHEST_NAME: Final = 16  # characters
_ENOUGH: Final = 25  # levels: a text with more is refused for that
_PROSE: Final = frozenset({Kind.WORD, Kind.NUMBER})
_SAME: Final = {Side.BUY: frozenset({"BUY", "LONG"}), Side.SELL: frozenset({"SELL", "SHORT"})}
_BEFORE_NAME: Final = frozenset({Kind.TYPE, Kind.STOP, Kind.FILLER, Kind.AT})


def settle(m: Message) -> None:
    if not m.text.clean.isascii():
        _look_alikes(m)
    _settle_names(m)
    _settle_strays(m)
    _settle_notes(m)
    _settle_restart(m)
    if m.promised is not None and not m.draft.order_types:
        m.draft.empty.setdefault("entry", m.promised)
    _leave_out(m)


def _look_alikes(m: Message) -> None:
    for token in m.tokens:
        if token.kind != Kind.WORD or token.text.isascii() or (latin := look_alike(token.text)) is None:
            continue
        is_mixed = any(char.isascii() for char in token.text)
        branch = MEANINGS.get(latin.upper())
        if is_mixed or (branch and branch.kind in _LABELS):
            m.draft.fault(
                "homoglyph", f"Write {latin.upper()} in Latin letters; some here only look so.", token.start, token.end
            )


def _settle_names(m: Message) -> None:
    """Known names in the signal come first, then the one behind `Symbol:`, beside the side, or tagged."""
    # Where the header comes last, the side stands behind the levels as well.
    end = max(m.reach, m.draft.sides[0].end + _FARTHEST_NAME if m.draft.sides else 0)
    names = [name for name in m.draft.names if name.start < end or not m.reach]
    candidates = names or m.assets or _beside_side(m) or m.tags
    m.draft.names = [name for name in candidates if name.start < end or not m.reach]
    if not names:
        for name in m.draft.names[:2]:
            _use(m, name)


def _use(m: Message, name: Name) -> None:
    for token in m.tokens:
        if token.start >= name.end:
            return
        token.used = token.used or token.start >= name.start


def _beside_side(m: Message) -> list[Name]:
    for at in m.sides_at:
        name = _behind_side(m, at) or _before_side(m, at)
        if name is not None:
            return [name]
    return []


def _behind_side(m: Message, side: int) -> Name | None:
    at = side + 1
    while m.tokens[at].kind in _BEFORE_NAME or m.tokens[at].text in ("#", "$", ":") or _is_break(m, at):
        at += 1
    if m.tokens[at].text.isalpha() and m.tokens[at + 1].text == ":" and m.is_glued(at + 1) and m.is_glued(at + 2):
        at += 2  # the exchange
    raw = m.text.raw[m.tokens[at].start : m.tokens[at].end]
    is_like_side = raw.islower() and m.text.raw[m.tokens[side].start].islower()
    if not _begins_name(m, at) or not (raw.isupper() or is_like_side):
        return None
    read = symbols.unknown(m, at)
    return read[0] if read is not None and m.tokens[read[1]].kind in _BEHIND_NAME else None


def _begins_name(m: Message, at: int) -> bool:
    """A word, or a unit that goes on as the X in X2Y2USDT does."""
    kind = m.tokens[at].kind
    goes_on = m.is_glued(at + 1) and m.tokens[at + 1].text.isalnum()
    return kind == Kind.WORD or (kind in (Kind.UNIT, Kind.CLOCK) and goes_on)


def _is_break(m: Message, at: int) -> bool:
    return m.tokens[at].kind == Kind.NEWLINE and m.tokens[at].text != "" and m.tokens[at - 1].kind != Kind.NEWLINE


def _before_side(m: Message, side: int) -> Name | None:
    """A ticker in capitals at the start of the line, or alone on the line above."""
    at = side - 1
    while at > 0 and (m.tokens[at].kind in (Kind.NEWLINE, Kind.TYPE) or m.tokens[at].text in ("|", "-", ":")):
        at -= 1
    token = m.tokens[at]
    if at < 0 or token.kind != Kind.WORD or not m.starts_line(at) or not token.text.isascii():
        return None
    if not m.text.raw[token.start : token.end].isupper():
        return None
    read = symbols.unknown(m, at)
    return None if read is None else read[0]


def _settle_strays(m: Message) -> None:
    """A number before the last level that no rule explains refuses the message: it may be a level."""
    if not m.strays:
        return
    told = {entry.first.value for entry in m.draft.entries} | {
        entry.second.value for entry in m.draft.entries if entry.second
    }
    captions: dict[int, bool] = {}
    overhang = Overhang(m)
    for stray in m.strays:
        if stray.value in told or (stray.start >= m.reach and not overhang.holds(stray)):
            continue
        if stray.start < m.reach and _is_caption(m, stray, captions):
            continue
        m.draft.fault(
            "ambiguous_number", "Say what this number is, or leave it out: SL, TP or @?", stray.start, stray.end
        )


def _settle_notes(m: Message) -> None:
    """Where no entry was read, a number in a note that lies between the levels is most likely the entry."""
    values = [level.value for level in (*m.draft.stops, *m.draft.targets) if level.value is not None]
    if m.draft.entries or not values:
        return
    low, high = min(values), max(values)
    for number in m.noted:
        if number.value is not None and low < number.value < high:
            hint = f"Is {number.text} the entry? Then write @{number.text} behind the symbol."
            m.draft.fault("ambiguous_number", hint, number.start, number.end)


def _is_caption(m: Message, stray: Number, captions: dict[int, bool]) -> bool:
    """A whole number in a line of words above the signal, in nothing like its prices."""
    start = m.text.clean.rfind("\n", 0, stray.start) + 1
    if not stray.text.isdigit() or start >= m.text.clean.rfind("\n", 0, max(m.begin, 0)) + 1:
        return False
    if start not in captions:
        line = m.text.clean[start : m.text.clean.find("\n", start)]
        captions[start] = any(char.isalpha() for char in line)
    return captions[start] and (
        all(value > 10 * int(stray.text) or int(stray.text) > 10 * value for value in m.draft.values[:_ENOUGH])
        or all("." in level.text for level in m.draft.levels[:_ENOUGH])
    )


def _settle_restart(m: Message) -> None:
    """A side or symbol behind a complete signal begins another one, if it has levels or names something else."""
    for at in m.restarts[:_ENOUGH]:
        token = m.tokens[at]
        if token.start < m.reach or (token.kind == Kind.SIDE and _is_other_order(m, at)):
            m.draft.dismiss("multiple_signals", "Send one signal a message.", token.start, token.end)
            return


def _is_other_order(m: Message, at: int) -> bool:
    """`SELL GBPUSD` in the tail or a lone `SELL` behind a BUY, as against `good buy`."""
    nearby = [at + 1, *(other for other in m.restarts[:_ENOUGH] if at - _NEARBY < other < at)]
    named = [read[0].name for near in nearby if (read := symbols.known(m, near))]
    is_turned = m.tokens[at].text not in _SAME[m.draft.sides[0].value]
    if named:
        return is_turned or named[0] not in [name.name for name in m.draft.names[:1]]
    is_alone = m.tokens[at - 1].kind in (Kind.NEWLINE, Kind.NUMBER) and m.tokens[at + 1].kind == Kind.NEWLINE
    return is_turned and is_alone


def _leave_out(m: Message) -> None:
    """Report every word and number that no rule has used, line by line. Of labels only those behind the signal."""
    first = last = None
    for token in m.tokens[: m.size + 1]:
        kind = token.kind
        if kind == Kind.MARK:
            continue
        if kind != Kind.NEWLINE and not token.used and (kind in _PROSE or token.start >= m.reach):
            first, last = first or token, token
        elif first is not None and last is not None:
            m.draft.ignored.append(Found(_reason(m, first), first.start, last.end))
            first = last = None


def _reason(m: Message, token: Token) -> str:
    if token.start >= m.reach:
        return "It comes after the last level."
    if token.start < m.begin:
        return "It comes before the signal."
    return "It has no meaning in a signal."
