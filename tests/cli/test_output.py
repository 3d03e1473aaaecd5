"""Command lines that other commands print, for whatever way this one was started."""

import sys
from pathlib import Path

import pytest

from signalhub.cli.output import format_command


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start in a directory with a program in .venv/bin; nothing is on the PATH."""
    program = tmp_path / "my checkout" / ".venv" / "bin" / "signalhub"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    checkout = tmp_path / "my checkout"
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SIGNALHUB_DATA_DIR", raising=False)
    monkeypatch.setattr(sys, "argv", [str(program)])
    return checkout


@pytest.mark.usefixtures("checkout")
def test_program_below_this_directory_is_named_by_its_relative_path() -> None:
    assert format_command("tail") == ".venv/bin/signalhub tail"


def test_program_elsewhere_is_named_by_its_quoted_path(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    assert format_command("tail") == f"'{checkout}/.venv/bin/signalhub' tail"


def test_program_on_the_path_is_named_alone(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout / ".venv" / "bin"))
    assert format_command("send BUY") == "signalhub send BUY"


def test_another_program_on_the_path_is_not_taken_for_this_one(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "signalhub"
    other.write_bytes((checkout / ".venv/bin/signalhub").read_bytes())
    other.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [".venv/bin/signalhub"])
    assert format_command("tail") == ".venv/bin/signalhub tail"


@pytest.mark.usefixtures("checkout")
def test_module_is_run_by_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/signalhub/__main__.py"])
    monkeypatch.setattr(sys, "executable", "/opt/my python")
    assert format_command("tail") == "'/opt/my python' -m signalhub tail"


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("tail", "just tail"),
        ("send BUY EURUSD", "just send BUY EURUSD"),
        ("key create", ".venv/bin/signalhub key create"),
    ],
)
def test_recipe_is_named_where_just_has_one(monkeypatch: pytest.MonkeyPatch, arguments: str, command: str) -> None:
    monkeypatch.setenv("JUST_RECIPES", "up send tail")
    assert format_command(arguments) == command


@pytest.mark.usefixtures("checkout")
def test_data_directory_of_the_environment_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALHUB_DATA_DIR", "my data")
    assert format_command("tail") == "SIGNALHUB_DATA_DIR='my data' .venv/bin/signalhub tail"
    monkeypatch.setenv("JUST_RECIPES", "tail")
    assert format_command("tail") == "SIGNALHUB_DATA_DIR='my data' just tail"
