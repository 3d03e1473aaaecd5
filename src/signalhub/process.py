"""The process that started this one.

A web or worker process is one of several under a first process, which alone is told to stop. Without it they would go
on, unseen and unstopped, beside those that a supervisor starts in their place.


How a long-running process lives with Python's garbage collector.

Left alone it walks through all that was ever loaded, tens of milliseconds at a time, in the midst of somebody's order.
"""

import asyncio
import gc
import multiprocessing
import os
from collections.abc import Callable

_PARENT_POLL_INTERVAL_S = 0.5


async def exit_with_parent(exit_process: Callable[[], object]) -> None:
    """Call `leave` when the parent process is gone."""
    # Not the parent as it is now: it may have died while we were being loaded.
    parent = multiprocessing.parent_process()
    pid = os.getppid() if parent is None else parent.pid
    while os.getppid() == pid:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(_PARENT_POLL_INTERVAL_S)
    exit_process()


def freeze_gc() -> None:
    """Call once all is loaded: what is there by now stays and is walked through no more, and what comes is seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
