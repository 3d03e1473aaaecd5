"""A text of hundreds of tiny pieces is no signal, and is not read piece by piece."""

import pytest

from signalhub.grammar import Refused, Understood, parse

SIGNAL = "BUY EURUSD @1.0860\nSL 1.0850\nTP 1.0890"


@pytest.mark.parametrize("unit", ["1 ", "1usd", "TP1", "BUY1", "1-", "#-1", "(1)"])
def test_confetti_is_refused_for_what_it_is(unit: str) -> None:
    read = parse((unit * 1024)[:1024].encode())
    assert isinstance(read, Refused)
    assert [problem.code for problem in read.problems] == ["unsupported"]


@pytest.mark.parametrize(
    "tail", ["good luck to all of you ", "\u2501" * 40, "-" * 40, "+35 pips, +40 pips, ", "\U0001f525 ", "* _ * "]
)
def test_what_people_write_below_a_signal_is_none_however_much_it_is(tail: str) -> None:
    assert isinstance(parse(f"{SIGNAL}\n\n{tail * 60}".encode()), Understood)


@pytest.mark.parametrize("unit", ["TP 1e5 ", "SL x1 y\n", "TP 1.0890 "])
def test_what_is_wrong_a_hundred_times_is_told_a_few_times(unit: str) -> None:
    read = parse(f"BUY EURUSD\n{unit * 100}".encode())
    assert isinstance(read, Refused)
    assert len(read.problems) <= 16


def test_a_little_confetti_is_read() -> None:
    assert isinstance(parse(f"{SIGNAL}\n{'a b ' * 50}".encode()), Understood)
