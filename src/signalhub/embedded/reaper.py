"""The duty of PID 1: collect the dead whose parent died before them.

Without it a container without an init fills up with zombies. Our own children are left to who waits for them.
"""

import os
from collections.abc import Collection

_INIT = 1


def reap_orphans(own_pids: Collection[int | None]) -> None:
    if os.getpid() != _INIT:
        return
    while (pid := _find_dead_child()) and pid not in own_pids:
        os.waitpid(pid, os.WNOHANG)


def _find_dead_child() -> int | None:
    try:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # look, but do not collect
    except ChildProcessError:
        return None
    return dead.si_pid if dead else None
