"""Symbols that are words of the grammar elsewhere: by field they come as they are, in a text behind a dollar."""

import json
from string import ascii_uppercase, digits

import pytest

from signalhub.grammar import Refused, Understood, parse, rewrite
from signalhub.grammar.vocabulary import MEANINGS

WORDS = {word for word in MEANINGS if word.isascii() and word.isalpha()}
SHORT = {first + second for first in ascii_uppercase for second in ascii_uppercase + digits} | set(ascii_uppercase)


def _by_field(symbol: str) -> str:
    return json.dumps({"action": "sell", "symbol": symbol, "price": "1.2700", "sl": "1.2750", "tp": "1.2600"})


def test_every_symbol_that_a_field_takes_survives_its_rewrite() -> None:
    for symbol in WORDS | SHORT:
        read = parse(_by_field(symbol).encode())
        if isinstance(read, Understood):
            again = parse(rewrite(read.signal).encode())
            assert isinstance(again, Understood), symbol
            assert again.signal == read.signal


@pytest.mark.parametrize("symbol", ["COIN", "A", "APR", "X"])
def test_a_dollar_makes_a_symbol_of_any_word(symbol: str) -> None:
    read = parse(f"BUY ${symbol} @30\nSL 29\nTP 33".encode())
    assert isinstance(read, Understood)
    assert read.signal.symbol == symbol


def test_a_dollar_in_the_middle_of_a_name_makes_none() -> None:
    assert isinstance(parse(b"BUY EUR$USD\nSL 1.0850\nTP 1.0890"), Refused)
