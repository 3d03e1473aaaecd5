"""What holds for every text, not only for those somebody thought of."""

import re

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalhub.domain.errors import GRAMMAR
from signalhub.domain.signal import Signal
from signalhub.grammar import Explanation, Ignored, Part, Refused, Understood, explain, fast, parse, rewrite
from signalhub.grammar.reading import parse_generally
from tests.grammar.strategies import base_forms, scribbles, signals


def as_json(signal: Signal) -> bytes:
    """Digits and all: as decimals 1.0 and 1.00 would be equal."""
    return msgspec.json.encode(signal)


@given(signals())
def test_the_rewrite_of_a_signal_is_read_as_the_same_signal(signal: Signal) -> None:
    result = parse(rewrite(signal).encode())
    assert isinstance(result, Understood), (rewrite(signal), result)
    assert as_json(result.signal) == as_json(signal)


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbfBUY")
@example(b"")
def test_any_bytes_give_a_result(raw: bytes) -> None:
    assert isinstance(parse(raw), Understood | Refused)
    assert isinstance(explain(raw), Explanation)


@given(scribbles())
@settings(max_examples=300)
def test_any_text_gives_a_signal_or_at_least_one_known_problem(text: str) -> None:
    result = parse(text.encode(errors="surrogatepass"))
    if isinstance(result, Refused):
        assert result.problems
        assert all(problem.code in GRAMMAR for problem in result.problems)


@given(scribbles())
@settings(max_examples=300)
def test_every_place_lies_in_the_text_and_shows_what_was_read(text: str) -> None:
    if text.lstrip(" \t\r\n\ufeff").startswith("{"):
        return
    explanation = explain(text.encode(errors="surrogatepass"))
    pieces: list[Part | Ignored] = [*explanation.parts, *explanation.ignored]
    assert all(text[piece.start : piece.start + piece.length] == piece.text for piece in pieces)
    lines = re.split("\r\n|[\n\r\u2028\u2029]", text)
    for piece in (*pieces, *explanation.problems):
        shown = lines[piece.line - 1][piece.column - 1 :][: piece.length]
        assert piece.text.startswith(shown)
        assert len(piece.text) == piece.length


@given(scribbles())
@settings(max_examples=300)
def test_what_is_accepted_survives_its_own_rewrite(text: str) -> None:
    result = parse(text.encode(errors="surrogatepass"))
    if isinstance(result, Understood):
        again = parse(rewrite(result.signal).encode())
        assert isinstance(again, Understood)
        assert as_json(again.signal) == as_json(result.signal)


@given(base_forms())
@settings(max_examples=500)
def test_the_short_cut_and_the_general_way_agree(text: str) -> None:
    """The short cut may give up on a text, but what it accepts the general way accepts, to the last position."""
    quick = fast.read(text)
    if quick is not None:
        assert parse_generally(text.encode()) == quick


def test_the_short_cut_is_taken() -> None:
    assert fast.read("BUY EURUSD @1.0860\nSL 1.0850\nTP 1.0890") is not None
    assert fast.read("sell gold\r\n\r\ntp 2300\r\nsl 2350\r\n") is not None
