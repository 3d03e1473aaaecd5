"""Processes that outlived the one that started them.

They are found by what they are, not by a pid in a file: a server has the right program, the right account and the
mark of its data directory in the command line; a child has the mark in the environment it was given, and so have its
own children. So a reused pid is never touched, and neither is a process of another data directory.
They are ended, never adopted: their parent, their settings and their log are somebody else's, and a new start costs
a tenth of a second. The caller holds the lock of the data directory, so nobody can be starting one meanwhile.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]  # it ships none

ENVIRONMENT_MARK = "_SIGNALHUB_UP"

_PATIENCE_S = 5.0
_POLL_S = 0.01

Find = Callable[[], list[psutil.Process]]


def of_server(program: str, mark: str, uid: int) -> list[psutil.Process]:
    """Return the living processes of one server. A zombie has no command line, so it never counts."""
    named = [one for one in psutil.process_iter(["name"]) if one.info["name"] == program]
    return [one for one in named if _user(one) == uid and mark in _command_line(one)]


def of_supervisor(mark: str) -> list[psutil.Process]:
    """Return the living children of a supervisor and all that descend from them, bar this process."""
    marked = [one for one in psutil.process_iter() if _environment(one).get(ENVIRONMENT_MARK) == mark]
    return [one for one in marked if one.pid not in {os.getpid(), os.getppid()}]


def end(find: Find, *, politely: signal.Signals) -> int:
    """End all that *find* finds, and return how many that were at first."""
    if not (left := find()):
        return 0
    for process in left:
        if _parent(process) not in {other.pid for other in left}:  # a parent ends its own children
            _send(process, politely)
    _wait(find, insisting=False)
    kill(find)
    return len(left)


def kill(find: Find) -> None:
    """SIGKILL, again and again: they may be forking."""
    _wait(find, insisting=True)


def _wait(find: Find, *, insisting: bool) -> None:
    # Not psutil's wait: without a parent that reaps, a dead process stays a zombie and would be waited for.
    give_up = time.monotonic() + _PATIENCE_S  # a process stuck in the kernel does not even die of SIGKILL
    while (left := find()) and time.monotonic() < give_up:
        for process in left if insisting else ():
            _send(process, signal.SIGKILL)
        time.sleep(_POLL_S)


def _user(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(process.uids().real)
    return None


def _command_line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _environment(process: psutil.Process) -> dict[str, str]:
    with contextlib.suppress(psutil.Error, OSError):
        return dict(process.environ())
    return {}  # not ours to read, so not ours


def _parent(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(process.ppid())
    return None


def _send(process: psutil.Process, what: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(what)  # psutil compares start times first: never a reused pid
