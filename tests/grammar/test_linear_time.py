"""Parse time is proportional to the length of the text, whatever it contains."""

from time import process_time

import pytest

from signalhub.grammar import parse

TEXT_SHAPES = {
    "digits": ("BUY EURUSD SL ", "1"),
    "numbers": ("BUY EURUSD SL 1.08 TP ", "1.09 "),
    "commas": ("BUY EURUSD SL ", "1,"),
    "points": ("BUY EURUSD SL ", "1."),
    "labels": ("BUY EURUSD ", "SL "),
    "incomplete phrases": ("BUY EURUSD ", "take profit target stop "),
    "at signs": ("BUY EURUSD ", "@ "),
    "glued at signs": ("BUY EURUSD ", "@1.1"),
    "glued groups": ("BUY EURUSD ", "1'000EURUSD"),
    "brackets": ("BUY EURUSD ", "(1.08"),
    "dashes": ("BUY EURUSD 1.08", "-1.08"),
    "sides": ("", "BUY "),
    "symbols": ("BUY ", "EURUSD "),
    "tags": ("BUY ", "#ABCDE1 "),
    "unexplained numbers in one line": ("", "7 alpha "),
    "unexplained numbers in lines": ("", "7 alpha\n"),
    "more levels after the last": ("BUY EURUSD SL 1.0850 TP 1.0890\n", "or 1.0891 "),
    "brackets after the last level": ("BUY EURUSD SL 1.0850 TP 1.0890\n", "(1.0891\n"),
    "orders after the last level": ("BUY EURUSD SL 1.0850 TP 1.0890\n", "sell it\n"),
    "trade outcomes": ("BUY EURUSD @1.0860 SL 1.0850 TP 1.0890\n", "hit "),
    "directives": ("BUY EURUSD\n", "#id x\n"),
    "emoji": ("BUY EURUSD ", "🔥"),
    "homoglyphs": ("BUY EURUSD ", "\u0422\u0420\u0422\u0420 "),
    "objects": ("", '{"a":'),
    "members": ("{", '"sl":1,'),
    "arrays": ("", "["),
    "fragments": ("BUY EURUSD ", "1 a "),
    "list of prices": ('{"action":"buy","tp":[', "1,"),
}


def measure_seconds(text: str) -> float:
    """Return the least processor time of three runs: other load on the machine can only add to it."""
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
    tail = (
        "\nBUY EURUSD SL 1.0850 TP 1.0890"
        if shape in ("unexplained numbers in one line", "unexplained numbers in lines")
        else ""
    )
    count = (15 * 1024 - len(prefix)) // len(unit.encode())
    short, long = (measure_seconds(prefix + unit * times + tail) for times in (count // 4, count))
    assert long < 10 * short + 0.01
    assert long < 0.5
