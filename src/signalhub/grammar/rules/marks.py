"""Rules for marks that have a meaning: `@` announces an entry, `/` joins a pair, `#` and `$` tag a symbol."""

from collections.abc import Callable
from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.grammar.parser_state import ParserState
from signalhub.grammar.rules.header import add_symbol
from signalhub.grammar.rules.labels import read_entry
from signalhub.grammar.rules.notes import find_labelled_number
from signalhub.grammar.symbols import match_known, match_slashed_pair, match_ticker
from signalhub.grammar.vocabulary import PHRASE_TRIE, TokenKind

_KINDS_NOT_IN_HANDLE: Final = frozenset({TokenKind.MARK, TokenKind.NEWLINE, TokenKind.NUMBER})
_KINDS_OF_MISSING_ENTRY: Final = frozenset({TokenKind.MARK, TokenKind.NEWLINE, TokenKind.FAILED_VALUE})


def read_mark(state: ParserState, index: int) -> int:
    rule = MARK_RULES.get(state.tokens[index].text)
    return index + 1 if rule is None else rule(state, index)


def read_slashed_pair(state: ParserState, index: int) -> int:
    symbol = match_slashed_pair(state.text, index)
    return index + 1 if symbol is None else add_symbol(state, index, symbol)


def read_tag(state: ParserState, index: int) -> int:
    """Read `#BTC` or `$AAPL`: a symbol if no other word is one."""
    word_index = index + 1
    is_word = state.tokens[word_index].kind == TokenKind.WORD or is_cashtag(state, index)
    # A known name is left to the rule for words: it counts wherever it stands.
    if not is_word or not state.text.is_adjacent(word_index) or match_known(state.text, word_index) is not None:
        return word_index
    symbol = match_ticker(state.text, word_index)
    if symbol is None:
        return word_index
    state.apply_symbol(symbol)
    state.tagged_symbols.append(symbol)
    state.expects_entry = state.expects_entry or bool(state.fields.sides and not state.has_levels)
    state.mark_used(word_index, symbol.end_index)
    return symbol.end_index


def is_cashtag(state: ParserState, index: int) -> bool:
    """Whether this is `$COIN` or `$A`: after a dollar, capitals are a symbol even if they are a word of the grammar."""
    token = state.tokens[index + 1]
    written = state.text.source.raw[token.start : token.end]
    is_dollar = state.tokens[index].text == "$" and not state.text.is_adjacent(index)
    return is_dollar and written == token.text and written.isalpha() and token.text in PHRASE_TRIE


def read_at_sign(state: ParserState, index: int) -> int:
    """Read an entry if a number follows, skip a handle such as `@name`, or report an entry without a price."""
    tokens, text = state.tokens, state.text
    following = tokens[index + 1]
    if following.text == "@":
        return index + 1  # only the last of several is read
    number_index, is_on_next_line = find_labelled_number(state, index + 1)
    if number_index is not None and not is_on_next_line:
        return read_entry(state, number_index)
    is_handle = following.kind not in _KINDS_NOT_IN_HANDLE and text.is_adjacent(index + 1)
    is_reported = tokens[index].start < state.signal_end  # another @ of the same run of characters
    if state.expects_entry and not is_reported and (is_handle or following.kind in _KINDS_OF_MISSING_ENTRY):
        start = tokens[index].start
        end = text.find_run_end(start)
        code: GrammarErrorCode = "bad_price" if following.kind == TokenKind.FAILED_VALUE else "bad_entry"
        state.fields.add_problem(code, "Write the entry price behind the @, like @1.0860.", start, end)
        state.signal_end = max(state.signal_end, end)
    index += 1
    while is_handle and text.is_adjacent(index) and tokens[index].kind != TokenKind.NEWLINE:
        index += 1
    return index


MARK_RULES: Final[dict[str, Callable[[ParserState, int], int]]] = {
    "@": read_at_sign,
    "/": read_slashed_pair,
    "#": read_tag,
    "$": read_tag,
}
