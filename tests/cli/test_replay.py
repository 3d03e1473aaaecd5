"""`signalhub replay`, which needs no service."""

import json
from collections.abc import Iterator

import pytest
import structlog
from click.testing import CliRunner

from signalhub.cli.replay import replay
from tests.kit.signal_texts import BUY, SELL


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """Restore logging, which the command configures for the whole process."""
    yield
    structlog.reset_defaults()


PLAIN_TEXT_RECORDING = f"{BUY}\n\n{SELL}\n\nhello\n"


def test_single_run_prints_figures() -> None:
    result = CliRunner().invoke(replay, ["-", "--profile", "instant"], input=PLAIN_TEXT_RECORDING)
    assert result.exit_code == 0
    figures = dict(line.rsplit(maxsplit=1) for line in result.stdout.splitlines())
    assert (figures["signals"], figures["refused"], figures["closed"]) == ("3", "1", "2")


def test_replay_compares_two_runs_by_column() -> None:
    result = CliRunner().invoke(
        replay, ["-", "--seed", "1", "--against", "seed=2 profile=instant"], input=PLAIN_TEXT_RECORDING
    )
    lines = {line.split("  ")[0]: line.split()[-3:] for line in result.stdout.splitlines()}
    assert lines["signals"] == ["3", "3", "+0"]
    assert lines["digest"][-1] == "differs"


def test_json_option_prints_one_line_per_run() -> None:
    result = CliRunner().invoke(
        replay, ["-", "--json", "--speed", "10", "--against", "chaos=hostile"], input=PLAIN_TEXT_RECORDING
    )
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["signals"] == second["signals"] == 3
    assert set(first["performance"]) >= {"closed", "wins", "expectancy", "profit_factor", "drawdown"}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--against", "colour=red"], 2), (["--chaos", "stormy"], 1), (["--profile", "slow"], 2), (["--speed", "0"], 2)],
)
def test_invalid_options_are_rejected(arguments: list[str], status: int) -> None:
    assert CliRunner().invoke(replay, ["-", *arguments], input=PLAIN_TEXT_RECORDING).exit_code == status
