"""`signalhub up` with all its processes: in an empty directory, and again with the data of the first run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
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


CHECKOUT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "signalhub"
PRINTED_VALUES = ("Dashboard", "API key", "Hook URL")


@contextmanager
def run_up_for_people(command: list[str], directory: Path, settings: dict[str, str], log: Path) -> Iterator[str]:
    """Run `up` as a person does, in a directory; yield what it has printed."""
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own
            [*command, "up"],
            cwd=directory,
            env=build_environment(settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            break
    assert lines, log.read_text()
    try:
        yield "".join(lines)
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.communicate(timeout=20)


@contextmanager
def follow_in_second_terminal(line: str, directory: Path) -> Iterator[IO[str]]:
    """Run a command line that does not end by itself; yield its output."""
    process = subprocess.Popen(  # noqa: S602 - a line for a shell
        line,
        shell=True,
        cwd=directory,
        env=build_environment({}),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=10)


def run_in_second_terminal(line: str, directory: Path) -> str:
    """Run a command line in a shell that has none of our settings; return its output."""
    done = subprocess.run(  # noqa: S602 - a line for a shell
        line,
        shell=True,
        cwd=directory,
        env=build_environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("way", ["program", "module", "just"])
def test_printed_commands_work_as_printed(up_settings: dict[str, str], tmp_path: Path, way: str) -> None:
    """In another terminal, in the same directory, without the settings of the first."""
    just = shutil.which("just")
    if way == "just" and just is None:
        pytest.skip("just is not installed")
    directory = CHECKOUT if way == "just" else tmp_path
    if way != "just":
        up_settings["data_dir"] = "my data"
    command = {"program": [str(PROGRAM)], "module": COMMAND, "just": [str(just)]}[way]
    with run_up_for_people(command, directory, up_settings, tmp_path / "first.log") as printed:
        curl, tail, send = re.findall(r":\n  (\S.*)$", printed, re.MULTILINE)
        with follow_in_second_terminal(tail, directory) as events:
            if shutil.which("curl"):
                assert '"order_id"' in run_in_second_terminal(curl, directory)
            for _ in range(2):  # the first of which may come before `tail` has connected
                assert "is pending" in run_in_second_terminal(send, directory)
            assert "BUY EURUSD" in events.readline() + events.readline()
        values = {name: re.findall(rf"{name} +(\S+)$", printed, re.MULTILINE)[0] for name in PRINTED_VALUES}
        assert httpx.get(values["Dashboard"]).is_success
        assert httpx.post(values["Hook URL"], content=BUY).status_code == 202
        assert values["API key"] in curl
    if way == "program":
        with run_up_for_people(command, directory, up_settings, tmp_path / "second.log") as printed:
            (create_key,) = re.findall(r"another key with: (.+)$", printed, re.MULTILINE)
            assert run_in_second_terminal(create_key, directory).startswith("shk_")
