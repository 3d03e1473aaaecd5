"""One command and all that descends from it: started, watched and ended together.

Web and worker processes have processes of their own. When the first dies the others would keep the port and the
queue, so the whole process group goes with it.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from signalhub.embedded.child import spawn
from signalhub.embedded.orphans import MARK_VARIABLE


@dataclass(frozen=True)
class ChildSpec:
    """What to keep running; *env* is all of its environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]


class ProcessGroup:
    def __init__(self, spec: ChildSpec, mark: str) -> None:
        self.name = spec.name
        self._argv = spec.argv
        self._env = {**spec.env, MARK_VARIABLE: mark}
        self._leader: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The leader's, and the number of the group; None while there is neither."""
        return self._leader.pid if self._leader else None

    @property
    def status(self) -> int | None:
        return self._leader.poll() if self._leader else None

    def is_alive(self) -> bool:
        return self._leader is not None and self._leader.poll() is None

    def launch(self) -> None:
        """Start the command, after ending what its last run may have left."""
        self.kill()
        self._leader = spawn(self._argv, env=self._env, stop_signal=signal.SIGTERM)

    def request_stop(self) -> None:
        """Ask the leader alone: it knows in which order its own are to stop."""
        if self._leader is not None:
            self._leader.terminate()

    def kill(self) -> None:
        if self._leader is None:
            return
        # The leader's pid names the group for as long as one member lives, so it cannot have been reused.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter is macOS for a group of zombies
            os.killpg(self._leader.pid, signal.SIGKILL)
        self._leader.wait()
        self._leader = None

    def last_log_lines(self) -> str:
        return ""  # it wrote them where we write ours
