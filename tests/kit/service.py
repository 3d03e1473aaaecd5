"""One long-running command of ours with the processes it starts, begun again whenever it dies.

The command's first process (granian's, Dramatiq's) looks after the others. Both kinds can be killed here, and it is
not the same fault: the first process replaces a web process that died, and goes down itself with a worker process.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import RLock

import psutil  # type: ignore[import-untyped]  # it ships none

_PAUSE_S = 0.2


class Service:
    """`is_kept` False leaves a death as it is, so that a test can look at what remains."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.env, self.log = dict(env), log
        self._argv, self._lock = argv, RLock()
        self._main: subprocess.Popen[bytes] | None = None
        self._died_at = 0.0
        self.is_kept = False

    @property
    def pid(self) -> int:
        assert self._main is not None, "it was not started"
        return self._main.pid

    @property
    def status(self) -> int | None:
        """How the first process ended; None while it runs."""
        return self._main.poll() if self._main else None

    def start(self) -> None:
        with self._lock, self.log.open("ab") as log:
            self._main = subprocess.Popen(  # noqa: S603 - our own command
                self._argv,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.is_kept, self._died_at = True, 0.0

    def tend(self) -> None:
        """Start again what has died, a moment later, as a supervisor would: with nothing of the old run left."""
        with self._lock:
            if not self.is_kept or self.status is None:
                return
            self._died_at = self._died_at or time.monotonic()
            if time.monotonic() - self._died_at >= _PAUSE_S:
                self.end_left_over()
                self.start()

    def children(self) -> list[int]:
        """The processes that do the work, oldest first; empty while the first process has none."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return sorted(child.pid for child in psutil.Process(self.pid).children() if child.status() != "zombie")
        return []

    def kill_main(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def kill_child(self) -> bool:
        """Whether there was one to kill."""
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def kill_all(self) -> None:
        """Everything at once, and nobody starts it again."""
        with self._lock:
            self.is_kept = False
            self.end_left_over()

    def terminate(self, patience_s: float = 15.0) -> float:
        """Ask it to end as a supervisor does; the answer is how many seconds it took."""
        with self._lock:
            self.is_kept = False
            assert self._main is not None
            began = time.monotonic()
            self._main.terminate()
            self._main.wait(patience_s)
            return time.monotonic() - began

    def end_left_over(self) -> None:
        if self._main is None:
            return
        # The first process's pid names the group for as long as one member lives.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._main.pid, signal.SIGKILL)
        self._main.wait()


def is_running(pid: int) -> bool:
    """A zombie does not run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
