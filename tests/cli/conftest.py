"""Commands as people start them: processes of their own, with nothing of this environment's settings."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from signalhub.settings import to_env
from tests.kit.hub import Hub

Signalhub = Callable[..., subprocess.CompletedProcess[str]]

COMMAND = [sys.executable, "-m", "signalhub"]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("SIGNALHUB_")} | dict(settings)


@pytest.fixture
def signalhub(tmp_path: Path) -> Signalhub:
    """Run a command to its end; `SIGNALHUB_*` come as keywords without the prefix."""

    def run(*words: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        given = {"SIGNALHUB_DATA_DIR": str(tmp_path / "data")}
        given |= {f"SIGNALHUB_{name.upper()}": text for name, text in settings.items()}
        return subprocess.run(  # noqa: S603 - our own
            [*COMMAND, *words],
            env=environment(given),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return run


@pytest.fixture
def on_hub(signalhub: Signalhub, hub: Hub) -> Signalhub:
    """The same, with the settings of the running hub."""
    known = {name.removeprefix("SIGNALHUB_").lower(): text for name, text in to_env(hub.settings).items()}

    def run(*words: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        return signalhub(*words, stdin=stdin, **(known | settings))

    return run
