"""A text of hundreds of tiny pieces is refused without being parsed piece by piece."""

import pytest

from signalhub.grammar import ParsedSignal, RefusedText, parse

SIGNAL = "BUY EURUSD @1.0860\nSL 1.0850\nTP 1.0890"


@pytest.mark.parametrize("unit", ["1 ", "1usd", "TP1", "BUY1", "1-", "#-1", "(1)"])
def test_fragmented_text_is_refused_as_unsupported(unit: str) -> None:
    result = parse((unit * 1024)[:1024].encode())
    assert isinstance(result, RefusedText)
    assert [problem.code for problem in result.problems] == ["unsupported"]


@pytest.mark.parametrize(
    "tail", ["good luck to all of you ", "\u2501" * 40, "-" * 40, "+35 pips, +40 pips, ", "\U0001f525 ", "* _ * "]
)
def test_long_tail_below_a_signal_is_not_fragmented(tail: str) -> None:
    assert isinstance(parse(f"{SIGNAL}\n\n{tail * 60}".encode()), ParsedSignal)


@pytest.mark.parametrize("unit", ["TP 1e5 ", "SL x1 y\n", "TP 1.0890 "])
def test_repeated_problem_is_reported_a_limited_number_of_times(unit: str) -> None:
    result = parse(f"BUY EURUSD\n{unit * 100}".encode())
    assert isinstance(result, RefusedText)
    assert len(result.problems) <= 16


def test_few_fragments_are_accepted() -> None:
    assert isinstance(parse(f"{SIGNAL}\n{'a b ' * 50}".encode()), ParsedSignal)
