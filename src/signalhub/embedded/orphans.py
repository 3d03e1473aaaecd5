"""Servers that outlived the process that started them.

They are found by what they are, not by a pid in a file: right program, right account, and in the command line the
mark of this data directory. So a reused pid is never touched, and neither is the server of another directory.
They are ended, never adopted: their parent, their settings and their log are somebody else's, and a new start costs
a tenth of a second. The caller holds the lock of the data directory, so nobody can be starting one meanwhile.
"""

import contextlib
import signal
import time
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]  # it ships none

_PATIENCE_S = 10.0
_POLL_S = 0.01


def find(program: str, mark: str, uid: int) -> list[psutil.Process]:
    """Return the living processes of one server. A zombie has no command line, so it never counts."""
    return [process for process in _named(program, uid) if mark in _words(process)]


def end(program: str, mark: str, uid: int, *, politely: signal.Signals) -> int:
    """End what is left of one server and return how many processes that were."""
    left = find(program, mark, uid)
    for process in left:
        if _parent(process) not in {other.pid for other in left}:  # the server itself ends its own children
            _send(process, politely)
    _wait(program, mark, uid, insisting=False)
    kill(program, mark, uid)
    return len(left)


def kill(program: str, mark: str, uid: int) -> None:
    """SIGKILL all of one server, again and again: it may have been forking."""
    _wait(program, mark, uid, insisting=True)


def _wait(program: str, mark: str, uid: int, *, insisting: bool) -> None:
    # Not psutil's wait: without a parent that reaps, a dead process stays a zombie and would be waited for.
    give_up = time.monotonic() + _PATIENCE_S  # a process stuck in the kernel does not even die of SIGKILL
    while (left := find(program, mark, uid)) and time.monotonic() < give_up:
        for process in left if insisting else ():
            _send(process, signal.SIGKILL)
        time.sleep(_POLL_S)


def _named(program: str, uid: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["name", "uids"]):
        if process.info["name"] == program and process.info["uids"].real == uid:
            yield process


def _words(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _parent(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(process.ppid())
    return None


def _send(process: psutil.Process, what: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(what)  # psutil compares start times first: never a reused pid
