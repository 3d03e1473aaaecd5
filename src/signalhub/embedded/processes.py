"""Start a process that is our own child and does not outlive us.

On Linux the kernel tells a child that its parent died (PR_SET_PDEATHSIG). It means the parent *thread*, so this is
armed only from the main thread; elsewhere, and on other systems, a left-over is found by the next start.


Processes that outlived the one that started them.

They are found by what they are, not by a pid in a file: a server has the right program, the right account and the
mark of its data directory in the command line; a child has the mark in the environment it was given, and so have its
own children. So a reused pid is never touched, and neither is a process of another data directory.
They are ended, never adopted: their parent, their settings and their log are somebody else's, and a new start costs
a tenth of a second. The caller holds the lock of the data directory, so nobody can be starting one meanwhile.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import psutil  # type: ignore[import-untyped]  # it ships none

# For the servers, nothing of our own environment: it holds secrets, and they need none of it.
SERVER_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

_PR_SET_PDEATHSIG = 1


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stop_signal: signal.Signals,
    cwd: Path | None = None,
    output: IO[bytes] | None = None,
    **options: Any,  # noqa: ANN401  # handed through to Popen
) -> subprocess.Popen[bytes]:
    """Start *argv* in a session of its own; *farewell* is the signal it gets when we die."""
    return subprocess.Popen(  # noqa: S603  # our own binaries and arguments
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output and subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal is for us; we end the children in order
        preexec_fn=_make_death_signal_setter(stop_signal),  # noqa: PLW1509  # only from the main thread, and it takes no lock
        **options,
    )


def _make_death_signal_setter(stop_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return in_child


MARK_VARIABLE = "_SIGNALHUB_UP"

_KILL_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.01

FindProcesses = Callable[[], list[psutil.Process]]


def find_server_processes(program: str, mark: str, uid: int) -> list[psutil.Process]:
    """Return the living processes of one server. A zombie has no command line, so it never counts."""
    named = [one for one in psutil.process_iter(["name"]) if one.info["name"] == program]
    return [one for one in named if _get_uid(one) == uid and mark in _get_command_line(one)]


def find_supervisor_processes(mark: str) -> list[psutil.Process]:
    """Return the living children of a supervisor and all that descend from them, bar this process."""
    marked = [one for one in psutil.process_iter() if _get_environment(one).get(MARK_VARIABLE) == mark]
    return [one for one in marked if one.pid not in {os.getpid(), os.getppid()}]


def stop_all(find: FindProcesses, *, stop_signal: signal.Signals) -> int:
    """End all that *find* finds, and return how many that were at first."""
    if not (left := find()):
        return 0
    for process in left:
        if _get_parent_pid(process) not in {other.pid for other in left}:  # a parent ends its own children
            _send_signal(process, stop_signal)
    _wait_until_gone(find, force=False)
    kill_all(find)
    return len(left)


def kill_all(find: FindProcesses) -> None:
    """SIGKILL, again and again: they may be forking."""
    _wait_until_gone(find, force=True)


def _wait_until_gone(find: FindProcesses, *, force: bool) -> None:
    # Not psutil's wait: without a parent that reaps, a dead process stays a zombie and would be waited for.
    give_up = time.monotonic() + _KILL_TIMEOUT_S  # a process stuck in the kernel does not even die of SIGKILL
    while (left := find()) and time.monotonic() < give_up:
        for process in left if force else ():
            _send_signal(process, signal.SIGKILL)
        time.sleep(_POLL_INTERVAL_S)


def _get_uid(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(process.uids().real)
    return None


def _get_command_line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _get_environment(process: psutil.Process) -> dict[str, str]:
    with contextlib.suppress(psutil.Error, OSError):
        return dict(process.environ())
    return {}  # not ours to read, so not ours


def _get_parent_pid(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(process.ppid())
    return None


def _send_signal(process: psutil.Process, signum: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signum)  # psutil compares start times first: never a reused pid
