"""Run the market benchmark briefly."""

import pytest

from tests.bench import market


def test_market_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    market.main(cases=50, rounds=20)
    printed = capsys.readouterr().out
    assert "50 cases, 0 of them differ" in printed
    assert "| a day " in printed
