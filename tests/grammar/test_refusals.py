"""Refused texts: problem code, position and hint."""

from typing import Any

import pytest

from signalhub.domain.errors import GRAMMAR_ERRORS, Problem
from signalhub.grammar import RefusedText, explain, parse

Case = dict[str, Any]


def parse_problems(text: str | bytes) -> tuple[Problem, ...]:
    result = parse(text if isinstance(text, bytes) else text.encode())
    assert isinstance(result, RefusedText), result
    return result.problems


def test_refusal_has_expected_code_and_text(refused: Case) -> None:
    main_problem = parse_problems(refused["text"])[0]
    assert (main_problem.code, main_problem.text) == (refused["code"], refused["at"])


def test_refusal_hint_is_a_sentence(refused: Case) -> None:
    for problem in parse_problems(refused["text"]):
        assert problem.hint[0].isupper() or problem.hint[0].isdigit() or problem.hint.startswith("{{")
        assert problem.hint[-1] in ".?"


def test_explain_reports_the_same_problems_as_parse(refused: Case) -> None:
    explanation = explain(refused["text"].encode())
    assert not explanation.ok
    assert explanation.problems == parse_problems(refused["text"])


def test_position_refers_to_the_text_as_sent() -> None:
    (problem,) = parse_problems("BUY EURUSD @1.0860\nSL 1.0890\nTP 1.0900")
    assert (problem.line, problem.column, problem.length, problem.text) == (2, 4, 6, "1.0890")
    assert problem.hint == "A BUY needs its stop loss below 1.0860."


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028"])
def test_each_line_ending_counts_once(end: str) -> None:
    (problem,) = parse_problems(end.join(["🟢 BUY EURUSD @1.0860", "SL: 1.0890", "TP 1.0900"]))
    assert (problem.line, problem.column) == (2, 5)


def test_wrapper_positions_refer_to_inner_text() -> None:
    (problem,) = parse_problems('{"signal": "BUY EURUSD @1.0860\\nSL 1.0890\\nTP 1.0900"}')
    assert (problem.line, problem.column, problem.text) == (2, 4, "1.0890")


def test_alert_positions_refer_to_json() -> None:
    (problem,) = parse_problems('{"action": "buy", "symbol": "EURUSD",\n "sl": 1.0890, "tp": 1.0850}')
    assert (problem.line, problem.column, problem.text) == (2, 8, "1.0890")


def test_all_problems_are_reported_together() -> None:
    codes = [problem.code for problem in parse_problems("BUY @1.0860\nSL 1.0890\nTP 1.0850")]
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
def test_typo_is_answered_with_a_suggestion(text: str, meant: str) -> None:
    assert any(f"Did you mean {meant}" in problem.hint for problem in parse_problems(text))


def test_oversized_body_is_refused_before_decoding() -> None:
    assert parse_problems(b"\xff" * (16 * 1024 + 1))[0].code == "too_large"


def test_invalid_utf8_is_refused() -> None:
    assert parse_problems(b"BUY EURUSD \xff")[0].code == "not_utf8"


def test_deep_nesting_is_refused() -> None:
    assert parse_problems('{"a":' * 3000 + "1" + "}" * 1300)[0].code == "malformed_json"


def test_more_than_twenty_take_profits_are_refused() -> None:
    text = "BUY BTCUSD @50000\nSL 49000\n" + "\n".join(f"TP {51000 + i}" for i in range(21))
    (problem,) = parse_problems(text)
    assert (problem.code, problem.text) == ("too_many_targets", "51020")


def test_problem_codes_are_in_the_error_table(refused: Case) -> None:
    assert all(problem.code in GRAMMAR_ERRORS for problem in parse_problems(refused["text"]))
