"""`signalhub up` with all its processes: in an empty directory, and again with the data of the first run."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, RunCommand, build_environment
from tests.kit.processes import find_free_port
from tests.kit.signal_texts import BUY

pytestmark = pytest.mark.fault

StartUp = Callable[[], tuple[subprocess.Popen[str], Any]]


@pytest.fixture
def up_settings(tmp_path: Path) -> dict[str, str]:
    return {"data_dir": str(tmp_path / "data"), "port": str(find_free_port()), "broker_profile": "instant"}


@pytest.fixture
def start_up(up_settings: dict[str, str], tmp_path: Path) -> Iterator[StartUp]:
    """Start the command and wait for its welcome, which is JSON here."""
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], Any]:
        with (tmp_path / "up.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own
                [*COMMAND, "up", "--json"],
                env=build_environment(up_settings),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (tmp_path / "up.log").read_text()
        return process, json.loads(line)

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_up_serves_and_restarts_with_existing_data(
    start_up: StartUp, up_settings: dict[str, str], run_command: RunCommand, run_in_subprocess: RunCommand
) -> None:
    running, welcome = start_up()
    assert welcome["api_key"] in welcome["curl"]
    assert "/hooks/shh_" in welcome["hook_url"]
    sent = json.loads(run_command("send", "--json", BUY, **up_settings).stdout)
    lines = run_command("tail", "--after", "0", "-n", "6", "--json", **up_settings).stdout.splitlines()
    assert [json.loads(line)["type"] for line in lines][-2:] == ["order.executed", "order.closed"]
    assert run_command("doctor", **up_settings).returncode == 0
    taken = run_in_subprocess("up", **(up_settings | {"data_dir": up_settings["data_dir"] + "2"}))
    assert (taken.returncode, "SIGNALHUB_PORT" in taken.stderr) == (1, True)

    running.send_signal(signal.SIGINT)
    assert running.wait(10) == 0
    assert run_command("key", "list", **up_settings).returncode == 2

    _, again = start_up()
    assert (again["api_key"], again["hook_url"], again["account"]) == (None, None, "you")
    assert again["dashboard"] != welcome["dashboard"]
    assert json.loads(run_command("orders", "--json", **up_settings).stdout)["id"] == sent["order_id"]


def test_missing_encryption_key_is_an_error(up_settings: dict[str, str], run_in_subprocess: RunCommand) -> None:
    (Path(up_settings["data_dir"]) / "postgres").mkdir(parents=True)
    done = run_in_subprocess("up", **up_settings)
    assert (done.returncode, "encryption.key is missing" in done.stderr) == (1, True)
