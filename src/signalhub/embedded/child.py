"""Start a process that is our own child and does not outlive us.

On Linux the kernel tells a child that its parent died (PR_SET_PDEATHSIG). It means the parent *thread*, so this is
armed only from the main thread; elsewhere, and on other systems, a left-over is found by the next start.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

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
