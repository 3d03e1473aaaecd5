"""Life of a web or worker process: heartbeats, end with the parent process, garbage collection; check on another."""

import asyncio
import gc
import multiprocessing
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

HEARTBEAT_VARIABLE: Final = "_SIGNALHUB_HEARTBEAT"
"""Names the file descriptor of the pipe in which a process shows its supervisor that it runs."""

_HEARTBEAT_INTERVAL_S = 1.0
_PARENT_POLL_INTERVAL_S = 0.5


def send_heartbeat() -> None:
    """Show the supervisor, if there is one, that this process is not frozen."""
    if HEARTBEAT_VARIABLE in os.environ:
        with suppress(OSError):  # the pipe is full because the supervisor is frozen, or it is gone
            os.write(int(os.environ[HEARTBEAT_VARIABLE]), b".")


async def send_heartbeats() -> NoReturn:
    """Send a heartbeat every second, from the event loop whose freezing is to be noticed."""
    while True:
        send_heartbeat()
        await asyncio.sleep(_HEARTBEAT_INTERVAL_S)


async def exit_with_parent(exit_process: Callable[[], object]) -> None:
    """Call `exit_process` once the parent process is gone.

    A web or worker process is one of several under a first process, and only that one is told to stop. Without it they
    would go on unsupervised, beside those that a supervisor starts in their place.
    """
    # Not the parent of this moment: the real one may have died while this process was loading.
    parent = multiprocessing.parent_process()
    pid = os.getppid() if parent is None else parent.pid
    while os.getppid() == pid:  # noqa: ASYNC110 - the system sends no event for it
        await asyncio.sleep(_PARENT_POLL_INTERVAL_S)
    exit_process()


def freeze_gc() -> None:
    """Exclude all objects of the start from garbage collection, and collect less often. Call once all is loaded.

    A full collection of what the start has loaded takes tens of milliseconds, in which every order waits. A full one
    comes after a million new objects, which keeps what only a collection frees below a few hundred megabytes; after
    twenty times as many, a process grew by a gigabyte. Young objects are collected in larger groups than by default,
    because nearly all of them are freed without it: with thousands of requests in progress, to look at 10,000 at a time
    took a third of the process's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 2, 5)


def is_process_running(pid: int) -> bool:
    """Return whether there is a process of this id, also one of another user. On Windows none counts."""
    if sys.platform == "win32":
        return False  # the call below would interrupt it, and no `signalhub up` runs there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
