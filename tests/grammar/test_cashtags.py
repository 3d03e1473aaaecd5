"""Symbols that are also words of the grammar: plain in a JSON field, with a dollar in a text."""

import json
from string import ascii_uppercase, digits

import pytest

from signalhub.grammar import ParsedSignal, RefusedText, parse, to_canonical_text
from signalhub.grammar.vocabulary import PHRASE_TRIE

VOCABULARY_WORDS = {word for word in PHRASE_TRIE if word.isascii() and word.isalpha()}
SHORT_SYMBOLS = {first + second for first in ascii_uppercase for second in ascii_uppercase + digits} | set(
    ascii_uppercase
)


def to_json_alert(symbol: str) -> str:
    return json.dumps({"action": "sell", "symbol": symbol, "price": "1.2700", "sl": "1.2750", "tp": "1.2600"})


def test_symbol_from_json_survives_canonical_text() -> None:
    for symbol in VOCABULARY_WORDS | SHORT_SYMBOLS:
        result = parse(to_json_alert(symbol).encode())
        if isinstance(result, ParsedSignal):
            again = parse(to_canonical_text(result.signal).encode())
            assert isinstance(again, ParsedSignal), symbol
            assert again.signal == result.signal


@pytest.mark.parametrize("symbol", ["COIN", "A", "APR", "X"])
def test_cashtag_turns_vocabulary_word_into_symbol(symbol: str) -> None:
    result = parse(f"BUY ${symbol} @30\nSL 29\nTP 33".encode())
    assert isinstance(result, ParsedSignal)
    assert result.signal.symbol == symbol


def test_dollar_inside_a_name_is_refused() -> None:
    assert isinstance(parse(b"BUY EUR$USD\nSL 1.0850\nTP 1.0890"), RefusedText)
