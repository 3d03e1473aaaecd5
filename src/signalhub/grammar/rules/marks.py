"""Marks that carry meaning: `@` announces an entry, `/` joins a pair, `#` and `$` tag a symbol."""

from collections.abc import Callable
from typing import Final

from signalhub.grammar import entries, levels, symbols
from signalhub.grammar.message import Message
from signalhub.grammar.rules.header import take_name
from signalhub.grammar.vocabulary import MEANINGS, Kind

_NO_HANDLE: Final = frozenset({Kind.MARK, Kind.NEWLINE, Kind.NUMBER})


def mark(m: Message) -> None:
    rule = MEANINGFUL.get(m.tokens[m.at].text)
    if rule is None:
        m.at += 1
    else:
        rule(m)


def _slash(m: Message) -> None:
    read = symbols.slashed(m, m.at)
    if read is None:
        m.at += 1
    else:
        take_name(m, *read)


def _tag(m: Message) -> None:
    """`#BTC` or `$AAPL`: a symbol if nothing else is one."""
    at = m.at + 1
    is_word = m.tokens[at].kind == Kind.WORD or _is_cashtag(m)
    if is_word and m.is_glued(at) and symbols.known(m, at) is None:
        read = symbols.unknown(m, at)
        if read is not None:
            m.tags.append(read[0])
            m.expecting = m.expecting or bool(m.draft.sides and not m.has_levels)
            m.use(at, read[1])
            m.at = read[1]
            return
    m.at = at


def _is_cashtag(m: Message) -> bool:
    """`$COIN`, `$A`: behind a dollar, capitals name a symbol, whatever the word means elsewhere."""
    token = m.tokens[m.at + 1]
    written = m.text.raw[token.start : token.end]
    is_dollar = m.tokens[m.at].text == "$" and not m.is_glued(m.at)
    return is_dollar and written == token.text and written.isalpha() and token.text in MEANINGS


def _at_sign(m: Message) -> None:
    """An entry, if a number follows; a handle, if a word hangs on it; else an entry someone forgot to fill in."""
    if m.tokens[m.at + 1].text == "@":
        m.at += 1  # the last of several speaks for all
        return
    number, crossed = levels.seek(m, m.at + 1)
    if number is not None and not crossed:
        entries.read(m, number)
        return
    following = m.tokens[m.at + 1]
    is_handle = following.kind not in _NO_HANDLE and m.is_glued(m.at + 1)
    is_told = m.tokens[m.at].start < m.reach  # another one of the same run of characters
    if m.expecting and not is_told and (is_handle or following.kind in (Kind.MARK, Kind.NEWLINE, Kind.VOID)):
        start, end = m.tokens[m.at].start, m.run_from(m.tokens[m.at].start)
        code = "bad_price" if following.kind == Kind.VOID else "bad_entry"
        m.draft.fault(code, "Write the entry price behind the @, like @1.0860.", start, end)
        m.reach = max(m.reach, end)
    m.at += 1
    while is_handle and m.is_glued(m.at) and m.tokens[m.at].kind != Kind.NEWLINE:
        m.at += 1


MEANINGFUL: Final[dict[str, Callable[[Message], None]]] = {
    "@": _at_sign,
    "/": _slash,
    "#": _tag,
    "$": _tag,
}
