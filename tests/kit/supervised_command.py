"""A long-running command of the service with its child processes, restarted when it dies.

The main process supervises its children. Killing one or the other is not the same fault: a child is replaced alone, and
the children of a main process that was killed end with it.
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

_RESTART_DELAY_S = 0.2


class SupervisedCommand:
    """With `is_supervised` false a dead command stays down, so that a test can look at what remains."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log_path: Path) -> None:
        self.env, self.log_path = dict(env), log_path
        self._argv, self._lock = argv, RLock()
        self._main_process: subprocess.Popen[bytes] | None = None
        self._died_at = 0.0
        self.is_supervised = False

    @property
    def pid(self) -> int:
        assert self._main_process is not None, "it was not started"
        return self._main_process.pid

    @property
    def status(self) -> int | None:
        """Exit status of the main process; None while it runs."""
        return self._main_process.poll() if self._main_process else None

    def start(self) -> None:
        with self._lock, self.log_path.open("ab") as log:
            self._main_process = subprocess.Popen(  # noqa: S603 - our own command
                self._argv,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.is_supervised, self._died_at = True, 0.0

    def restart_if_dead(self) -> None:
        """Restart a dead command after a delay, as a supervisor would, once all processes of the old run are gone."""
        with self._lock:
            if not self.is_supervised or self.status is None:
                return
            self._died_at = self._died_at or time.monotonic()
            if time.monotonic() - self._died_at >= _RESTART_DELAY_S:
                self.kill_process_group()
                self.start()

    def child_pids(self) -> list[int]:
        """Return the children of the main process, oldest first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return sorted(child.pid for child in psutil.Process(self.pid).children() if child.status() != "zombie")
        return []

    def kill_main(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def kill_child(self) -> bool:
        """Kill the oldest child; return False if there is none."""
        for pid in self.child_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def kill_all(self) -> None:
        """Kill all processes and do not restart them."""
        with self._lock:
            self.is_supervised = False
            self.kill_process_group()

    def terminate(self, timeout_s: float = 15.0) -> float:
        """Stop it with SIGTERM, as a supervisor does; return the seconds it took."""
        with self._lock:
            self.is_supervised = False
            assert self._main_process is not None
            started_at = time.monotonic()
            self._main_process.terminate()
            self._main_process.wait(timeout_s)
            return time.monotonic() - started_at

    def kill_process_group(self) -> None:
        if self._main_process is None:
            return
        # The pid of the main process names the group for as long as one member lives.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._main_process.pid, signal.SIGKILL)
        self._main_process.wait()


def is_process_running(pid: int) -> bool:
    """Return True if the process exists and is no zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
