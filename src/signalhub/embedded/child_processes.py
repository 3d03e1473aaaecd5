"""Start processes that do not outlive us, and stop the orphans of an earlier start.

On Linux the kernel signals a child when its parent dies (PR_SET_PDEATHSIG). It means the parent *thread*, so the signal
is set only in the main thread; otherwise, and on other systems, the next start stops the orphans.

Orphans are found by properties, not by a pid in a file, so that a reused pid or a process of another data directory is
never touched: a server has the right program, user and, in its command line, the mark of its data directory; a child
and its descendants have the mark in their environment. They are stopped, never adopted: their parent, settings and log
are unknown, and a new start takes 0.1 s. The caller holds the lock of the data directory, so nobody starts one
meanwhile.
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

# The servers get nothing of our environment: it holds secrets, and they need none of it.
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
    """Start `argv` in its own session; it receives `stop_signal` when this process dies."""
    return subprocess.Popen(  # noqa: S603  # our own binaries and arguments
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output and subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we stop the children in order
        preexec_fn=_make_death_signal_setter(stop_signal),  # noqa: PLW1509 - only from the main thread, and it takes no lock
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
    """Return the live processes of one server; a zombie, which has no command line, is none."""
    named = [process for process in psutil.process_iter(["name"]) if process.info["name"] == program]
    return [process for process in named if _get_uid(process) == uid and mark in _get_command_line(process)]


def find_supervisor_processes(mark: str) -> list[psutil.Process]:
    """Return the live children of a supervisor and their descendants, without this process and its parent."""
    marked = [process for process in psutil.process_iter() if _get_environment(process).get(MARK_VARIABLE) == mark]
    return [process for process in marked if process.pid not in {os.getpid(), os.getppid()}]


def stop_all(find: FindProcesses, *, stop_signal: signal.Signals) -> int:
    """Stop the processes that `find` returns, with SIGKILL after 5 s. Return how many there were."""
    if not (running := find()):
        return 0
    for process in running:
        if _get_parent_pid(process) not in {other.pid for other in running}:  # a parent stops its own children
            _send_signal(process, stop_signal)
    _wait_until_gone(find, force=False)
    kill_all(find)
    return len(running)


def kill_all(find: FindProcesses) -> None:
    """Send SIGKILL until `find` returns no process: some may be forking."""
    _wait_until_gone(find, force=True)


def _wait_until_gone(find: FindProcesses, *, force: bool) -> None:
    # Not psutil's wait: without a parent that reaps it, a dead process stays a zombie, for which that would wait.
    deadline = time.monotonic() + _KILL_TIMEOUT_S  # a process in uninterruptible sleep ignores even SIGKILL
    while (running := find()) and time.monotonic() < deadline:
        for process in running if force else ():
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
    return {}  # unreadable: another user's


def _get_parent_pid(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(process.ppid())
    return None


def _send_signal(process: psutil.Process, signum: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signum)  # psutil compares start times first, so never to a reused pid
