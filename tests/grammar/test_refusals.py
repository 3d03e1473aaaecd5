"""Every way to be refused: the code, and the place a person has to look at."""

from typing import Any

import pytest

from signalhub.domain.errors import GRAMMAR, Problem
from signalhub.grammar import Refused, explain, parse

Case = dict[str, Any]


def problems(text: str | bytes) -> tuple[Problem, ...]:
    result = parse(text if isinstance(text, bytes) else text.encode())
    assert isinstance(result, Refused), result
    return result.problems


def test_a_refusal_names_its_code_and_the_offending_text(refused: Case) -> None:
    main = problems(refused["text"])[0]
    assert (main.code, main.text) == (refused["code"], refused["at"])


def test_a_refusal_says_what_to_write_instead(refused: Case) -> None:
    for problem in problems(refused["text"]):
        assert problem.hint[0].isupper() or problem.hint[0].isdigit() or problem.hint.startswith("{{")
        assert problem.hint[-1] in ".?"


def test_people_are_told_the_same_problems(refused: Case) -> None:
    explanation = explain(refused["text"].encode())
    assert not explanation.ok
    assert explanation.problems == problems(refused["text"])


def test_a_position_counts_lines_and_columns_of_the_text_as_sent() -> None:
    (problem,) = problems("BUY EURUSD @1.0860\nSL 1.0890\nTP 1.0900")
    assert (problem.line, problem.column, problem.length, problem.text) == (2, 4, 6, "1.0890")
    assert problem.hint == "A BUY needs its stop loss below 1.0860."


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028"])
def test_every_end_of_line_counts_once(end: str) -> None:
    (problem,) = problems(end.join(["🟢 BUY EURUSD @1.0860", "SL: 1.0890", "TP 1.0900"]))
    assert (problem.line, problem.column) == (2, 5)


def test_positions_in_a_wrapper_are_those_of_the_inner_text() -> None:
    (problem,) = problems('{"signal": "BUY EURUSD @1.0860\\nSL 1.0890\\nTP 1.0900"}')
    assert (problem.line, problem.column, problem.text) == (2, 4, "1.0890")


def test_positions_in_an_alert_are_those_of_the_json() -> None:
    (problem,) = problems('{"action": "buy", "symbol": "EURUSD",\n "sl": 1.0890, "tp": 1.0850}')
    assert (problem.line, problem.column, problem.text) == (2, 8, "1.0890")


def test_several_problems_are_reported_at_once() -> None:
    codes = [problem.code for problem in problems("BUY @1.0860\nSL 1.0890\nTP 1.0850")]
    assert codes == ["no_symbol", "sl_wrong_side", "tp_wrong_side"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("BYU EURUSD @1.0860\nSL 1.0850\nTP 1.0890", "BUY"),
        ("SELLL EURUSD @1.0860\nSL 1.0890\nTP 1.0850", "SELL"),
        ("BUY EURUSD @1.0860\nSI 1.0850\nTP 1.0890", "SL"),
        ("BUY EURUSD @1.0860\nSL 1.0850\nTRAGET 1.0890", "TARGET"),
        ("EURSUD BUY @1.0860\nSL 1.0850\nTP 1.0890", "EURUSD"),
    ],
)
def test_a_near_miss_is_answered_with_what_was_meant(text: str, meant: str) -> None:
    assert any(f"Did you mean {meant}" in problem.hint for problem in problems(text))


def test_a_body_over_the_cap_is_refused_before_it_is_decoded() -> None:
    assert problems(b"\xff" * (16 * 1024 + 1))[0].code == "too_large"


def test_bytes_that_are_no_text_are_refused() -> None:
    assert problems(b"BUY EURUSD \xff")[0].code == "not_utf8"


def test_nesting_is_refused_and_not_followed() -> None:
    assert problems('{"a":' * 3000 + "1" + "}" * 1300)[0].code == "malformed_json"


def test_the_most_targets_are_twenty() -> None:
    text = "BUY BTCUSD @50000\nSL 49000\n" + "\n".join(f"TP {51000 + i}" for i in range(21))
    (problem,) = problems(text)
    assert (problem.code, problem.text) == ("too_many_targets", "51020")


def test_every_code_is_a_row_of_the_table(refused: Case) -> None:
    assert all(problem.code in GRAMMAR for problem in problems(refused["text"]))
