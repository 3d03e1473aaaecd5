"""Directives of a forced outcome are parsed or refused with a hint."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from signalhub.domain import forced_outcomes
from signalhub.domain.errors import Problem
from signalhub.domain.order import CloseReason, Simulation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Simulation()),
        ("  ", Simulation()),
        ("reject=insufficient_margin", Simulation(reject="insufficient_margin")),
        ("fail=3", Simulation(fail=3)),
        ("fill_after=2s", Simulation(fill_after=timedelta(seconds=2))),
        (
            "FILL_AFTER=250ms; close_after=1m",
            Simulation(fill_after=timedelta(milliseconds=250), close_after=timedelta(minutes=1)),
        ),
        ("fail=1 outcome=take_profit", Simulation(fail=1, outcome=CloseReason.TAKE_PROFIT)),
    ],
)
def test_simulation_directives_can_be_combined(text: str | None, expected: Simulation) -> None:
    assert forced_outcomes.parse(text) == replace(expected, text=text or "")


@pytest.mark.parametrize(
    "text",
    [
        "explode",
        "fail=-1",
        "fail=1000",
        "fail=" + "9" * 5000,  # more digits than Python makes a number of
        "fail=٣",
        "outcome=time",
        "fill_after=2 s",
        "reject=",
        "fail=1 fail=2",
        "reject=A!",
    ],
)
def test_unknown_directive_is_reported_with_hint(text: str) -> None:
    problem = forced_outcomes.parse(text)
    assert isinstance(problem, Problem)
    assert problem.code == "bad_simulation"
    assert problem.text
    assert "outcome=take_profit" in problem.hint


def test_stored_text_is_kept_and_parsed_leniently() -> None:
    assert forced_outcomes.from_stored_text(None) is None
    assert forced_outcomes.from_stored_text("Fail=3") == Simulation(text="Fail=3", fail=3)
    assert forced_outcomes.from_stored_text("explode") == Simulation(text="explode")
