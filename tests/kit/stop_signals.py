"""The ways in which supervisors and people ask a command to stop."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

_PAUSE_S = 0.4

StopPattern = Callable[["subprocess.Popen[Any]"], None]
"""Sends signals to a command that leads its own process group."""


def _signal_process(command: "subprocess.Popen[Any]") -> None:
    command.terminate()


def _signal_group(command: "subprocess.Popen[Any]") -> None:
    """As systemd does, and `timeout`, which signals the process first."""
    command.terminate()
    os.killpg(command.pid, signal.SIGTERM)


def _signal_twice(command: "subprocess.Popen[Any]") -> None:
    os.killpg(command.pid, signal.SIGTERM)
    time.sleep(_PAUSE_S)
    command.terminate()


def _interrupt_and_terminate(command: "subprocess.Popen[Any]") -> None:
    os.killpg(command.pid, signal.SIGINT)
    time.sleep(_PAUSE_S)
    command.terminate()


STOP_PATTERNS: Final[Mapping[str, StopPattern]] = {
    "process": _signal_process,
    "group": _signal_group,
    "twice": _signal_twice,
    "SIGINT and SIGTERM": _interrupt_and_terminate,
}
