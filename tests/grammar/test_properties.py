"""Properties that hold for any text."""

import re

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalhub.domain.errors import GRAMMAR_ERRORS
from signalhub.domain.signal import Signal
from signalhub.grammar import (
    Explanation,
    Ignored,
    ParsedSignal,
    Part,
    RefusedText,
    explain,
    fast_path,
    parse,
    to_canonical_text,
)
from signalhub.grammar.parser import parse_slow_path
from tests.grammar.strategies import base_form_texts, fragment_texts, signals


def encode_signal(signal: Signal) -> bytes:
    """Encode a signal for comparison: 1.0 and 1.00 differ as JSON, but not as decimals."""
    return msgspec.json.encode(signal)


@given(signals())
def test_canonical_text_parses_to_the_same_signal(signal: Signal) -> None:
    result = parse(to_canonical_text(signal).encode())
    assert isinstance(result, ParsedSignal), (to_canonical_text(signal), result)
    assert encode_signal(result.signal) == encode_signal(signal)


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbfBUY")
@example(b"")
def test_parse_never_raises_on_any_bytes(raw: bytes) -> None:
    assert isinstance(parse(raw), ParsedSignal | RefusedText)
    assert isinstance(explain(raw), Explanation)


@given(fragment_texts())
@settings(max_examples=300)
def test_refused_text_has_known_problem_codes(text: str) -> None:
    result = parse(text.encode(errors="surrogatepass"))
    if isinstance(result, RefusedText):
        assert result.problems
        assert all(problem.code in GRAMMAR_ERRORS for problem in result.problems)


@given(fragment_texts())
@settings(max_examples=300)
def test_positions_match_the_quoted_text(text: str) -> None:
    if text.lstrip(" \t\r\n\ufeff").startswith("{"):
        return
    explanation = explain(text.encode(errors="surrogatepass"))
    pieces: list[Part | Ignored] = [*explanation.parts, *explanation.ignored]
    assert all(text[piece.start : piece.start + piece.length] == piece.text for piece in pieces)
    lines = re.split("\r\n|[\n\r\u2028\u2029]", text)
    for piece in (*pieces, *explanation.problems):
        on_line = lines[piece.line - 1][piece.column - 1 :][: piece.length]
        assert piece.text.startswith(on_line)
        assert len(piece.text) == piece.length


@given(fragment_texts())
@settings(max_examples=300)
def test_accepted_text_survives_canonical_text(text: str) -> None:
    result = parse(text.encode(errors="surrogatepass"))
    if isinstance(result, ParsedSignal):
        reparsed = parse(to_canonical_text(result.signal).encode())
        assert isinstance(reparsed, ParsedSignal)
        assert encode_signal(reparsed.signal) == encode_signal(result.signal)


@given(base_form_texts())
@settings(max_examples=500)
def test_fast_path_agrees_with_slow_path(text: str) -> None:
    """The fast path may decline a text. What it accepts, the slow path accepts with the same result and positions."""
    fast_result = fast_path.parse_base_form(text)
    if fast_result is not None:
        assert parse_slow_path(text.encode()) == fast_result


def test_fast_path_accepts_base_form() -> None:
    assert fast_path.parse_base_form("BUY EURUSD @1.0860\nSL 1.0850\nTP 1.0890") is not None
    assert fast_path.parse_base_form("sell gold\r\n\r\ntp 2300\r\nsl 2350\r\n") is not None
