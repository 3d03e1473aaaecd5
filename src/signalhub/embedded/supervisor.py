"""The loop behind `signalhub up`: start servers, then children; restart what exits; stop all in reverse order.

    with Supervisor(data_dir) as supervisor:            # locks the data directory, stops orphans of a killed `up`
        listener = open_listener(host, port)
        urls = supervisor.start_servers()
        ...                                             # migrate, create a first account
        supervisor.run([ChildSpec("web", argv, env), ...], is_ready)   # returns after SIGINT or SIGTERM
                                                        # leaving the block stops everything within 10 s

It runs in the main thread: it handles signals there, and the kernel stops the children when that thread ends.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from signalhub.embedded import child_processes
from signalhub.embedded.child_processes import MARK_VARIABLE, spawn
from signalhub.embedded.paths import compute_mark
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.server import DirectoryLock, Server
from signalhub.embedded.valkey import Valkey
from signalhub.process_upkeep import HEARTBEAT_VARIABLE
from signalhub.supervision import CHILD_STOP_TIMEOUT_S, ManagedProcess, Restartable, StopRequest, WatchedProcess

logger = structlog.get_logger()

_GROUP_STOP_TIMEOUT_S = CHILD_STOP_TIMEOUT_S + 0.5
"""A command kills its own processes within CHILD_STOP_TIMEOUT_S; one that is frozen itself is killed after this."""

_STOP_TIMEOUT_S = 8.0
_VALKEY_STOP_TIMEOUT_S = 1.0
_POLL_INTERVAL_S = 0.05
_INIT_PID = 1


@dataclass(frozen=True)
class ChildSpec:
    """A command to keep running; `env` is its whole environment, `descriptors` are the open files that it inherits."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    descriptors: Sequence[int] = ()


class ProcessGroup(WatchedProcess):
    """A child and its descendants, in one process group.

    Web and worker have processes of their own. When the leader dies the others would go on unsupervised, so the whole
    group is killed with it.
    """

    def __init__(self, spec: ChildSpec, mark: str) -> None:
        super().__init__(spec.name)
        self._spec = spec
        self._env = {**spec.env, MARK_VARIABLE: mark}
        self._leader: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Pid of the leader, which is also the id of the group; None before the start."""
        return self._leader.pid if self._leader else None

    @property
    def status(self) -> int | None:
        return self._leader.poll() if self._leader else None

    def is_alive(self) -> bool:
        return self._leader is not None and self._leader.poll() is None

    def launch(self) -> None:
        """Start the command, after killing what its last run may have left."""
        self.kill()
        pipe = self.open_heartbeat()
        env = {**self._env, HEARTBEAT_VARIABLE: str(pipe)}
        descriptors = (pipe, *self._spec.descriptors)
        self._leader = spawn(self._spec.argv, env=env, stop_signal=signal.SIGTERM, pass_fds=descriptors)

    def request_stop(self) -> None:
        """Signal the leader alone: it knows in which order its own processes are to stop."""
        if self._leader is not None:
            self._leader.terminate()

    def kill(self) -> None:
        self.close_heartbeat()
        if self._leader is None:
            return
        # The pid of the leader names the group as long as one member lives, so it cannot have been reused.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter on macOS for a group of zombies
            os.killpg(self._leader.pid, signal.SIGKILL)
        self._leader.wait()
        self._leader = None


class ServerUrls(NamedTuple):
    """URLs of the embedded servers; None for one that is not embedded."""

    database: str | None
    redis: str | None


class Supervisor:
    def __init__(self, data_dir: Path, *, postgres: bool = True, valkey: bool = True) -> None:
        self._data_dir = data_dir
        self._postgres = Postgres(data_dir) if postgres else None
        self._valkey = Valkey(data_dir) if valkey else None
        self._servers: list[Server] = [server for server in (self._postgres, self._valkey) if server]
        self._groups: list[ProcessGroup] = []
        self._lock = DirectoryLock(data_dir / "up.lock")
        self._stop_request = StopRequest(self._interrupt_start)
        self._defers_signals = False  # until `run` a signal interrupts; from then on it is only noted

    def __enter__(self) -> Self:
        self._lock.acquire()
        if orphans := child_processes.stop_all(
            partial(child_processes.find_supervisor_processes, compute_mark(self._data_dir)), stop_signal=signal.SIGTERM
        ):
            logger.warning("supervisor.orphans_ended", processes=orphans)
        self._stop_request.install_handlers()
        return self

    def __exit__(self, *_: object) -> None:
        self._defers_signals = True
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        self._stop_groups()
        if self._valkey:
            self._stop_server(self._valkey, _VALKEY_STOP_TIMEOUT_S)
        if self._postgres:  # after a checkpoint, for which all the time is left that others did not need
            self._stop_server(self._postgres, deadline - time.monotonic())
        self._stop_request.ignore_signals()
        self._lock.release()

    def start_servers(self) -> ServerUrls:
        for server in self._servers:
            server.start()
        return ServerUrls(
            database=self._postgres.url if self._postgres else None,
            redis=self._valkey.url if self._valkey else None,
        )

    def run(self, children: Iterable[ChildSpec], is_ready: Callable[[], bool]) -> None:
        """Keep servers and `children` running until SIGINT or SIGTERM; poll `is_ready` until it returns True."""
        self.start_servers()
        self._defers_signals = True
        self._groups = [ProcessGroup(child, compute_mark(self._data_dir)) for child in children]
        restartables: list[Restartable] = [*self._servers, *self._groups]
        managed_processes = [ManagedProcess(process) for process in restartables]
        was_ready = False
        while not self._stop_request.is_made:
            for managed_process in managed_processes:
                managed_process.check()
            for server in self._servers:
                server.rotate_log()
            reap_orphans({process.pid for process in restartables})
            was_ready = was_ready or is_ready()
            time.sleep(_POLL_INTERVAL_S)

    def _interrupt_start(self, signum: int) -> None:
        if not self._defers_signals:
            self._defers_signals = True
            raise SystemExit(128 + signum)

    def _stop_groups(self) -> None:
        for group in reversed(self._groups):
            group.request_stop()
        self._stop_request.wait_while(lambda: any(group.is_alive() for group in self._groups), _GROUP_STOP_TIMEOUT_S)
        for group in reversed(self._groups):
            group.kill()

    def _stop_server(self, server: Server, timeout_s: float) -> None:
        server.request_stop()
        self._stop_request.wait_while(server.is_alive, timeout_s)
        server.stop(timeout_s=0)


def reap_orphans(own_pids: Collection[int | None]) -> None:
    """As PID 1 of a container without an init, reap orphans, which would stay zombies. Does nothing otherwise.

    Our own children (`own_pids`) are left to the Popen that waits for them.
    """
    if os.getpid() != _INIT_PID:
        return
    while (pid := _find_dead_child()) and pid not in own_pids:
        os.waitpid(pid, os.WNOHANG)


def _find_dead_child() -> int | None:
    try:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # look without reaping
    except ChildProcessError:
        return None
    return dead.si_pid if dead else None
