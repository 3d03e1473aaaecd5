"""Output on terminals of several widths, colours, and pipes whose reader ends."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from signalhub.settings import to_env
from tests.cli.conftest import COMMAND, RunCommand
from tests.kit.account_client import AccountClient
from tests.kit.processes import find_free_port
from tests.kit.running_app import RunningApp

ANSI_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RunInTerminal = Callable[..., str]


@pytest.fixture
def run_in_terminal(app: RunningApp, account: AccountClient) -> RunInTerminal:
    """Run a command on the service in a terminal of so many columns; return what it printed.

    A command that does not end by itself is stopped when it has printed `stop_at`.
    """

    def run(columns: int, *arguments: str, stop_at: str = "", **variables: str) -> str:
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("SIGNALHUB_")}
        env = inherited | to_env(app.settings) | {"SIGNALHUB_API_KEY": account.api_key, "TERM": "xterm"} | variables
        for name in ("COLUMNS", "LINES"):
            env.pop(name, None)
        process = subprocess.Popen(  # noqa: S603 - our own
            [*COMMAND, *arguments], stdin=terminal, stdout=terminal, stderr=terminal, env=env
        )
        os.close(terminal)
        output = bytearray()
        while True:
            try:
                output += os.read(controller, 65_536)
            except OSError:  # the end of a terminal
                break
            if stop_at and stop_at.encode() in output:
                process.terminate()
            if process.poll() is not None and not output:
                break
        os.close(controller)
        assert process.wait(10) == 0, bytes(output).decode()
        return bytes(output).decode()

    return run


def split_lines(output: str) -> list[str]:
    """Return the lines; one that is drawn again begins with a carriage return."""
    return re.split(r"[\r\n]+", ANSI_SEQUENCE.sub("", output))


@pytest.mark.parametrize(("columns", "names"), [(60, "ORDER SIDE SYMBOL"), (80, "CREATED ORDER"), (120, "FILL CLOSE")])
async def test_orders_fit_the_terminal(
    run_in_terminal: RunInTerminal, app: RunningApp, account: AccountClient, columns: int, names: str
) -> None:
    sent = await account.send_signal()
    await app.advance_order(sent["order_id"])
    await account.send_signal("SELL BTCUSDT NOW @ 59967.80 SL 60267.80 TP 59067.80")
    lines = split_lines(run_in_terminal(columns, "orders"))
    assert max(map(cell_len, lines)) <= columns
    assert [word for word in lines[0].split() if word in names.split()] == names.split()
    assert {"STATUS", "SYMBOL"} <= set(lines[0].split())
    assert any("executed" in line and sent["order_id"][-8:] in line for line in lines)
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("columns", [60, 80, 120])
async def test_tail_fits_the_terminal(run_in_terminal: RunInTerminal, account: AccountClient, columns: int) -> None:
    await account.send_signal()
    for options in ((), ("--plain",)):
        lines = split_lines(run_in_terminal(columns, "tail", "--after", "0", "--limit", "3", *options))
        assert max(map(cell_len, lines)) <= columns, lines
        assert any("BUY" in line and "EURUSD" in line and "1.0860" in line for line in lines), lines


async def test_short_id_names_an_order(run_in_terminal: RunInTerminal, account: AccountClient) -> None:
    order_id = (await account.send_signal())["order_id"]
    assert order_id in run_in_terminal(80, "orders", "show", order_id[-8:])
    assert "cancelled" in run_in_terminal(80, "orders", "cancel", order_id[-8:])


@pytest.mark.parametrize(
    ("options", "variables", "has_colour"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        (("--color=never",), {}, False),
        (("--color=always",), {"NO_COLOR": "1"}, True),
    ],
)
async def test_colour_follows_option_and_environment(
    run_in_terminal: RunInTerminal,
    account: AccountClient,
    options: tuple[str, ...],
    variables: dict[str, str],
    has_colour: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await account.send_signal()
    assert ("\x1b[" in run_in_terminal(80, "orders", *options, **variables)) == has_colour


STOP_AT = {"web": "web.started", "worker": "worker.started", "up": "Ctrl-C stops everything"}


@pytest.mark.parametrize(
    ("command", "color"),
    [("web", "auto"), ("web", "never"), ("web", ""), ("worker", ""), ("up", "never"), ("up", "")],
)
def test_colour_of_log_lines_follows_option_and_environment(
    run_in_terminal: RunInTerminal, tmp_path: Path, command: str, color: str
) -> None:
    """Those of the processes that the command starts, too. Without the option, NO_COLOR is set."""
    settings = {"SIGNALHUB_PORT": str(find_free_port()), "SIGNALHUB_LOG_LEVEL": "debug", "SIGNALHUB_LOG_FORMAT": "auto"}
    if command == "up":
        settings |= {"SIGNALHUB_DATABASE_URL": "", "SIGNALHUB_REDIS_URL": "", "SIGNALHUB_DATA_DIR": str(tmp_path)}
    words, variables = ([f"--color={color}"], {}) if color else ([], {"NO_COLOR": "1"})
    output = run_in_terminal(120, command, *words, stop_at=STOP_AT[command], **settings, **variables)
    assert "started" in output
    assert ("\x1b[" in output) == (color == "auto")


@pytest.mark.parametrize(("options", "has_colour"), [((), False), (("--color=always",), True)])
def test_log_lines_in_a_pipe_have_colour_where_asked_for(
    app: RunningApp,
    options: tuple[str, ...],
    has_colour: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    env = os.environ | to_env(app.settings) | {"SIGNALHUB_LOG_FORMAT": "console"}
    process = subprocess.Popen([*COMMAND, *options, "worker"], stderr=subprocess.PIPE, env=env)  # noqa: S603 - our own
    assert process.stderr is not None
    line = process.stderr.readline()
    process.terminate()
    assert process.wait(10) == 0
    process.stderr.close()
    assert b"started" in line
    assert (b"\x1b[" in line) == has_colour


@pytest.mark.parametrize(
    "words", [("parse", "BUY"), ("key", "list", "--json"), ("--help",), ("account", "create", "-h")]
)
def test_every_command_takes_the_colour_option(run_on_service: RunCommand, words: tuple[str, ...]) -> None:
    done = run_on_service(*words, "--color=always")
    assert "No such option" not in done.stderr


def test_error_has_colour_where_asked_for(run_command: RunCommand) -> None:
    assert "\x1b[31m" in run_command("orders", "--color=always").stderr
    assert "\x1b[31m" in run_command("--color=always", "orders").stderr
    assert "\x1b[" not in run_command("orders").stderr


async def test_tail_ends_with_the_reader_of_its_pipe(app: RunningApp, account: AccountClient) -> None:
    """Also while no event comes, as after `head -2`."""
    await account.send_signal()
    env = os.environ | to_env(app.settings) | {"SIGNALHUB_API_KEY": account.api_key}
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own, and the service is another process
        [*COMMAND, "tail", "--after", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert [process.stdout.readline().split()[0] for _ in range(2)] == [b"1", b"2"]
    process.stdout.close()
    assert process.wait(5) == 0
    assert process.stderr.read() == b""
