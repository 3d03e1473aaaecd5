"""Life of a web or worker process: end with the parent process, freeze the garbage collector, check another process."""

import asyncio
import gc
import multiprocessing
import os
from collections.abc import Callable

_PARENT_POLL_INTERVAL_S = 0.5


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
    """Exclude all objects of the start from garbage collection, and collect seldom. Call once everything is loaded.

    A full collection of what the start has loaded takes tens of milliseconds, in which every order waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def is_process_running(pid: int) -> bool:
    """Return whether there is a process of this id, also one of another user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
