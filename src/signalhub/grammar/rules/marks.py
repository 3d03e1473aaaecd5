"""Marks that carry meaning: `@` announces an entry, `/` joins a pair, `#` and `$` tag a symbol."""

from collections.abc import Callable
from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.grammar import prices, symbols
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules.header import add_symbol
from signalhub.grammar.vocabulary import PHRASE_TRIE, TokenKind

_KINDS_NOT_IN_HANDLE: Final = frozenset({TokenKind.MARK, TokenKind.NEWLINE, TokenKind.NUMBER})


def read_mark(state: ParserState) -> None:
    rule = MARK_RULES.get(state.tokens[state.pos].text)
    if rule is None:
        state.pos += 1
    else:
        rule(state)


def _read_slashed_pair(state: ParserState) -> None:
    read = symbols.match_slashed_pair(state, state.pos)
    if read is None:
        state.pos += 1
    else:
        add_symbol(state, *read)


def _read_tag(state: ParserState) -> None:
    """`#BTC` or `$AAPL`: a symbol if nothing else is one."""
    at = state.pos + 1
    is_word = state.tokens[at].kind == TokenKind.WORD or _is_cashtag(state)
    if is_word and state.is_adjacent(at) and symbols.match_known(state, at) is None:
        read = symbols.match_ticker(state, at)
        if read is not None:
            state.tagged_symbols.append(read[0])
            state.expects_entry = state.expects_entry or bool(state.fields.sides and not state.has_levels)
            state.mark_used(at, read[1])
            state.pos = read[1]
            return
    state.pos = at


def _is_cashtag(state: ParserState) -> bool:
    """`$COIN`, `$A`: behind a dollar, capitals name a symbol, whatever the word means elsewhere."""
    token = state.tokens[state.pos + 1]
    written = state.source.raw[token.start : token.end]
    is_dollar = state.tokens[state.pos].text == "$" and not state.is_adjacent(state.pos)
    return is_dollar and written == token.text and written.isalpha() and token.text in PHRASE_TRIE


def _read_at_sign(state: ParserState) -> None:
    """An entry, if a number follows; a handle, if a word hangs on it; else an entry someone forgot to fill in."""
    if state.tokens[state.pos + 1].text == "@":
        state.pos += 1  # the last of several speaks for all
        return
    number, crossed = prices.find_labelled_price(state, state.pos + 1)
    if number is not None and not crossed:
        prices.read_entry(state, number)
        return
    following = state.tokens[state.pos + 1]
    is_handle = following.kind not in _KINDS_NOT_IN_HANDLE and state.is_adjacent(state.pos + 1)
    is_told = state.tokens[state.pos].start < state.signal_end  # another one of the same run of characters
    if (
        state.expects_entry
        and not is_told
        and (is_handle or following.kind in (TokenKind.MARK, TokenKind.NEWLINE, TokenKind.FAILED_VALUE))
    ):
        start, end = state.tokens[state.pos].start, state.find_run_end(state.tokens[state.pos].start)
        code: GrammarErrorCode = "bad_price" if following.kind == TokenKind.FAILED_VALUE else "bad_entry"
        state.fields.add_problem(code, "Write the entry price behind the @, like @1.0860.", start, end)
        state.signal_end = max(state.signal_end, end)
    state.pos += 1
    while is_handle and state.is_adjacent(state.pos) and state.tokens[state.pos].kind != TokenKind.NEWLINE:
        state.pos += 1


MARK_RULES: Final[dict[str, Callable[[ParserState], None]]] = {
    "@": _read_at_sign,
    "/": _read_slashed_pair,
    "#": _read_tag,
    "$": _read_tag,
}
