"""Run commands without the settings of this environment, in this process or in a subprocess."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from signalhub.cli import main
from signalhub.settings import to_env
from tests.kit.running_app import RunningApp

COMMAND = [sys.executable, "-m", "signalhub"]


class CommandResult(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


RunCommand = Callable[..., CommandResult]


def build_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process with these settings and no others."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("SIGNALHUB_")}
    return inherited | {f"SIGNALHUB_{name.upper()}": text for name, text in settings.items()}


@pytest.fixture
def run_command(tmp_path: Path) -> RunCommand:
    """Run a command to its end, with settings as keywords."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> CommandResult:
        environment = build_environment({"data_dir": str(tmp_path / "data"), **settings})
        env = {name: environment.get(name) for name in {*os.environ, *environment}}
        with CliRunner().isolation(stdin, env) as (out, err, _):
            status = _run_main(arguments)
            return CommandResult(status, out.getvalue().decode(), err.getvalue().decode())

    return run


def _run_main(arguments: tuple[str, ...]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def run_on_service(run_command: RunCommand, app: RunningApp) -> RunCommand:
    """Run a command with the settings of the running app."""
    app_settings = {name.removeprefix("SIGNALHUB_").lower(): text for name, text in to_env(app.settings).items()}

    def run(*arguments: str, stdin: str = "", **settings: str) -> CommandResult:
        return run_command(*arguments, stdin=stdin, **(app_settings | settings))

    return run


@pytest.fixture
def run_in_subprocess() -> RunCommand:
    """Run a command in a subprocess, for commands that change signal handlers and logging."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> CommandResult:
        process = subprocess.run(  # noqa: S603 - our own
            [*COMMAND, *arguments],
            env=build_environment(settings),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return CommandResult(process.returncode, process.stdout, process.stderr)

    return run
