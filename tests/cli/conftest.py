"""Commands with nothing of this environment's settings: in this process where that is enough, else in their own."""

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
from tests.kit.hub import Hub

COMMAND = [sys.executable, "-m", "signalhub"]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Signalhub = Callable[..., Done]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with these settings and no others."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("SIGNALHUB_")}
    return inherited | {f"SIGNALHUB_{name.upper()}": text for name, text in settings.items()}


@pytest.fixture
def signalhub(tmp_path: Path) -> Signalhub:
    """Run a command to its end, with settings as keywords."""

    def run(*words: str, stdin: str = "", **settings: str) -> Done:
        wanted = environment({"data_dir": str(tmp_path / "data"), **settings})
        env = {name: wanted.get(name) for name in {*os.environ, *wanted}}
        with CliRunner().isolation(stdin, env) as (out, err, _):
            status = _status(words)
            return Done(status, out.getvalue().decode(), err.getvalue().decode())

    return run


def _status(words: tuple[str, ...]) -> int:
    try:
        main(words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def on_hub(signalhub: Signalhub, hub: Hub) -> Signalhub:
    """The same, with the settings of the running hub."""
    known = {name.removeprefix("SIGNALHUB_").lower(): text for name, text in to_env(hub.settings).items()}

    def run(*words: str, stdin: str = "", **settings: str) -> Done:
        return signalhub(*words, stdin=stdin, **(known | settings))

    return run


@pytest.fixture
def process() -> Signalhub:
    """The same in a process of its own, for commands that take over signals and logging."""

    def run(*words: str, stdin: str = "", **settings: str) -> Done:
        done = subprocess.run(  # noqa: S603 - our own
            [*COMMAND, *words],
            env=environment(settings),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run
