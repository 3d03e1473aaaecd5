"""The loop behind `signalhub up`: start servers, then children; restart what exits; stop all in reverse order.

    with Supervisor(data_dir) as supervisor:            # locks the data directory, stops orphans of a killed `up`
        require_free_port(host, port)
        urls = supervisor.start_servers()
        ...                                             # migrate, create a first account
        supervisor.run([ChildSpec("web", argv, env), ...], is_ready)   # returns after SIGINT or SIGTERM
                                                        # leaving the block stops everything

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
from types import FrameType
from typing import NamedTuple, Protocol, Self

import structlog

from signalhub.embedded import child_processes
from signalhub.embedded.child_processes import MARK_VARIABLE, spawn
from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.paths import compute_mark
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.server import STOP_TIMEOUT_S, DirectoryLock, Server
from signalhub.embedded.valkey import Valkey

logger = structlog.get_logger()

INITIAL_RESTART_DELAY_S = 0.1
MAX_RESTART_DELAY_S = 5.0
STABLE_UPTIME_S = 10.0
CHILD_STOP_TIMEOUT_S = 10.0
_POLL_INTERVAL_S = 0.05
_INIT_PID = 1


@dataclass
class RestartBackoff:
    """Delay before a restart: none at first, then doubling, so that a child that cannot start causes no busy loop."""

    early_exits: int = 0

    def next_delay_s(self, uptime_s: float) -> float:
        """Return the delay after a run of `uptime_s`; one of at least STABLE_UPTIME_S resets it to none."""
        if uptime_s >= STABLE_UPTIME_S:
            self.early_exits = 0
        self.early_exits += 1
        if self.early_exits == 1:
            return 0.0
        doublings = min(self.early_exits - 2, 10)
        return min(MAX_RESTART_DELAY_S, INITIAL_RESTART_DELAY_S * 2.0**doublings)


@dataclass(frozen=True)
class ChildSpec:
    """A command to keep running; `env` is its whole environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]


class ProcessGroup:
    """A child and its descendants, in one process group.

    Web and worker have processes of their own. When the leader dies the others would keep the port and the queue, so
    the whole group is killed with it.
    """

    def __init__(self, spec: ChildSpec, mark: str) -> None:
        self.name = spec.name
        self._argv = spec.argv
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
        self._leader = spawn(self._argv, env=self._env, stop_signal=signal.SIGTERM)

    def request_stop(self) -> None:
        """Signal the leader alone: it knows in which order its own processes are to stop."""
        if self._leader is not None:
            self._leader.terminate()

    def kill(self) -> None:
        if self._leader is None:
            return
        # The pid of the leader names the group as long as one member lives, so it cannot have been reused.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter on macOS for a group of zombies
            os.killpg(self._leader.pid, signal.SIGKILL)
        self._leader.wait()
        self._leader = None

    def last_log_lines(self) -> str:
        return ""  # it writes to our stderr


class Restartable(Protocol):
    """A server or a process group."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    @property
    def status(self) -> int | None: ...

    def is_alive(self) -> bool: ...

    def launch(self) -> None: ...

    def kill(self) -> None: ...

    def last_log_lines(self) -> str: ...


class ManagedProcess:
    """Restarts one server or process group whenever it exits."""

    def __init__(self, process: Restartable) -> None:
        self._process = process
        self._backoff = RestartBackoff()
        self._started_at = time.monotonic()
        self._next_start_at: float | None = None if process.is_alive() else self._started_at

    def check(self) -> None:
        """Notice an exit, and restart when its delay has passed. Returns at once."""
        if self._next_start_at is None and not self._process.is_alive():
            self._handle_exit()
        if self._next_start_at is not None and time.monotonic() >= self._next_start_at:
            self._launch()

    def _handle_exit(self) -> None:
        uptime_s = time.monotonic() - self._started_at
        restart_delay_s = self._backoff.next_delay_s(uptime_s)
        logger.warning(
            "supervisor.child_exited",
            name=self._process.name,
            status=self._process.status,
            last_log_lines=self._process.last_log_lines(),
            uptime_s=round(uptime_s, 1),
            restart_delay_s=restart_delay_s,
        )
        self._process.kill()  # and the processes that it left running
        self._next_start_at = time.monotonic() + restart_delay_s

    def _launch(self) -> None:
        self._started_at = time.monotonic()
        try:
            self._process.launch()
        except (EmbeddedError, OSError) as error:
            self._next_start_at = self._started_at + self._backoff.next_delay_s(uptime_s=0.0)
            logger.error("supervisor.start_failed", name=self._process.name, error=str(error))  # noqa: TRY400 - the message says why
        else:
            self._next_start_at = None
            logger.info("supervisor.started", name=self._process.name, pid=self._process.pid)


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
        self._signal_count = 0
        self._defers_signals = False  # until `run` a signal interrupts; from then on it is only counted

    def __enter__(self) -> Self:
        self._lock.acquire()
        if orphans := child_processes.stop_all(
            partial(child_processes.find_supervisor_processes, compute_mark(self._data_dir)), stop_signal=signal.SIGTERM
        ):
            logger.warning("supervisor.orphans_ended", processes=orphans)
        self._handlers = {signum: signal.signal(signum, self._handle_signal) for signum in _list_stop_signals()}
        return self

    def __exit__(self, *_: object) -> None:
        self._defers_signals, self._signal_count = True, 0  # a further signal ends the waiting
        self._stop_groups()
        for server in reversed(self._servers):
            self._stop_server(server)
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
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
        while not self._signal_count:
            for managed_process in managed_processes:
                managed_process.check()
            for server in self._servers:
                server.rotate_log()
            reap_orphans({process.pid for process in restartables})
            was_ready = was_ready or is_ready()
            time.sleep(_POLL_INTERVAL_S)

    def _handle_signal(self, signum: int, _: FrameType | None) -> None:
        self._signal_count += 1
        if not self._defers_signals:
            raise SystemExit(128 + signum)

    def _stop_groups(self) -> None:
        for group in reversed(self._groups):
            group.request_stop()
        self._wait_while(lambda: any(group.is_alive() for group in self._groups), CHILD_STOP_TIMEOUT_S)
        for group in reversed(self._groups):
            group.kill()

    def _stop_server(self, server: Server) -> None:
        server.request_stop()
        self._wait_while(server.is_alive, STOP_TIMEOUT_S)
        server.stop(timeout_s=0)

    def _wait_while(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while condition() and time.monotonic() < deadline and not self._signal_count:
            time.sleep(_POLL_INTERVAL_S)


def _list_stop_signals() -> list[signal.Signals]:
    """Return the signals that stop the supervisor: also that of a closed terminal, unless `nohup` ignores it."""
    hangup = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


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
