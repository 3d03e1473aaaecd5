"""Reading takes time in proportion to the length of the text, whatever the text is made of."""

from time import process_time

import pytest

from signalhub.grammar import parse

TEXT_SHAPES = {
    "digits": ("BUY EURUSD SL ", "1"),
    "numbers": ("BUY EURUSD SL 1.08 TP ", "1.09 "),
    "commas": ("BUY EURUSD SL ", "1,"),
    "points": ("BUY EURUSD SL ", "1."),
    "labels": ("BUY EURUSD ", "SL "),
    "halves of phrases": ("BUY EURUSD ", "take profit target stop "),
    "at signs": ("BUY EURUSD ", "@ "),
    "glued at signs": ("BUY EURUSD ", "@1.1"),
    "glued groups": ("BUY EURUSD ", "1'000EURUSD"),
    "brackets": ("BUY EURUSD ", "(1.08"),
    "dashes": ("BUY EURUSD 1.08", "-1.08"),
    "sides": ("", "BUY "),
    "symbols": ("BUY ", "EURUSD "),
    "tags": ("BUY ", "#ABCDE1 "),
    "strays in one line": ("", "7 alpha "),
    "captions": ("", "7 alpha\n"),
    "more levels behind the last": ("BUY EURUSD SL 1.0850 TP 1.0890\n", "or 1.0891 "),
    "brackets behind the last": ("BUY EURUSD SL 1.0850 TP 1.0890\n", "(1.0891\n"),
    "orders behind the last": ("BUY EURUSD SL 1.0850 TP 1.0890\n", "sell it\n"),
    "news": ("BUY EURUSD @1.0860 SL 1.0850 TP 1.0890\n", "hit "),
    "directives": ("BUY EURUSD\n", "#id x\n"),
    "emoji": ("BUY EURUSD ", "🔥"),
    "look-alikes": ("BUY EURUSD ", "\u0422\u0420\u0422\u0420 "),
    "objects": ("", '{"a":'),
    "members": ("{", '"sl":1,'),
    "arrays": ("", "["),
    "confetti": ("BUY EURUSD ", "1 a "),
    "list of prices": ('{"action":"buy","tp":[', "1,"),
}


def measure_seconds(text: str) -> float:
    """Processor time, and the best of three: other work on the machine only ever adds."""
    raw = text.encode()
    best = float("inf")
    for _ in range(3):
        start = process_time()
        parse(raw)
        best = min(best, process_time() - start)
    return best


@pytest.mark.parametrize("shape", TEXT_SHAPES)
def test_parse_time_is_linear_in_text_length(shape: str) -> None:
    prefix, unit = TEXT_SHAPES[shape]
    tail = "\nBUY EURUSD SL 1.0850 TP 1.0890" if shape in ("strays in one line", "captions") else ""
    count = (15 * 1024 - len(prefix)) // len(unit.encode())
    short, long = (measure_seconds(prefix + unit * times + tail) for times in (count // 4, count))
    assert long < 10 * short + 0.01
    assert long < 0.5
