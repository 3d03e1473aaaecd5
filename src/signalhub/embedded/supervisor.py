"""How long to wait before what has died is started again: not at all at first, but never in a tight loop.

One command and all that descends from it: started, watched and ended together.

Web and worker processes have processes of their own. When the first dies the others would keep the port and the
queue, so the whole process group goes with it.


One thing that is to run for as long as we do, and the memory of how it fared.

The loop behind `signalhub up`: servers first, then children; what dies is started again; all stops in reverse.

    with Supervisor(data_dir) as up:                    # takes the data directory, ends what a killed `up` left
        require_free_port(host, port)
        urls = up.start_servers()
        ...                                             # migrate, make a first account
        up.run([Child("web", argv, env), ...], ready)   # returns after SIGINT or SIGTERM
                                                        # leaving the block stops everything

It belongs in the main thread: it handles signals there, and the kernel ends the children when that thread ends.
As PID 1 of a container it also reaps the orphans that the kernel hands to it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol, Self

import structlog

from signalhub.embedded import processes
from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.paths import compute_mark
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.processes import MARK_VARIABLE, spawn
from signalhub.embedded.reaper import reap_orphans
from signalhub.embedded.server import STOP_TIMEOUT_S, DirectoryLock, Server
from signalhub.embedded.valkey import Valkey

INITIAL_RESTART_DELAY_S = 0.1
MAX_RESTART_DELAY_S = 5.0
STABLE_UPTIME_S = 10.0


@dataclass
class RestartBackoff:
    early_exits: int = 0

    def next_delay_s(self, uptime_s: float) -> float:
        """Return the wait after a life of *life_s*: none, then doubling; a life of 10 s makes it none again."""
        if uptime_s >= STABLE_UPTIME_S:
            self.early_exits = 0
        self.early_exits += 1
        if self.early_exits == 1:
            return 0.0
        doublings = min(self.early_exits - 2, 10)
        return min(MAX_RESTART_DELAY_S, INITIAL_RESTART_DELAY_S * 2.0**doublings)


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


logger = structlog.get_logger()


class Restartable(Protocol):
    """A server, or a group of processes."""

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
    def __init__(self, process: Restartable) -> None:
        self._process = process
        self._backoff = RestartBackoff()
        self._started_at = time.monotonic()
        self._next_start_at: float | None = None if process.is_alive() else self._started_at

    def check(self) -> None:
        """Notice a death, and start again when the time has come. Returns at once."""
        if self._next_start_at is None and not self._process.is_alive():
            self._handle_exit()
        if self._next_start_at is not None and time.monotonic() >= self._next_start_at:
            self._launch()

    def _handle_exit(self) -> None:
        life_s = time.monotonic() - self._started_at
        wait_s = self._backoff.next_delay_s(life_s)
        logger.warning(
            "supervisor.child_exited",
            name=self._process.name,
            status=self._process.status,
            last_words=self._process.last_log_lines(),
            after_s=round(life_s, 1),
            wait_s=wait_s,
        )
        self._process.kill()  # and with it whatever it left running
        self._next_start_at = time.monotonic() + wait_s

    def _launch(self) -> None:
        self._started_at = time.monotonic()
        try:
            self._process.launch()
        except (EmbeddedError, OSError) as error:
            self._next_start_at = self._started_at + self._backoff.next_delay_s(uptime_s=0.0)
            logger.error("supervisor.start_failed", name=self._process.name, error=str(error))  # noqa: TRY400  # its sentence says it all
        else:
            self._next_start_at = None
            logger.info("supervisor.started", name=self._process.name, pid=self._process.pid)


CHILD_STOP_TIMEOUT_S = 10.0
_POLL_INTERVAL_S = 0.05


class ServerUrls(NamedTuple):
    """Where the embedded servers are; None for one that is not embedded."""

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
        self._defers_signals = False  # before the loop a signal interrupts; in it, and after it, it is only counted

    def __enter__(self) -> Self:
        self._lock.acquire()
        if left := processes.stop_all(
            partial(processes.find_supervisor_processes, compute_mark(self._data_dir)), stop_signal=signal.SIGTERM
        ):
            logger.warning("supervisor.orphans_ended", processes=left)
        self._handlers = {which: signal.signal(which, self._handle_signal) for which in _stop_signals()}
        return self

    def __exit__(self, *_: object) -> None:
        self._defers_signals, self._signal_count = True, 0  # one more now means: faster
        self._stop_groups()
        for server in reversed(self._servers):
            self._stop_server(server)
        for which, handler in self._handlers.items():
            signal.signal(which, handler)
        self._lock.release()

    def start_servers(self) -> ServerUrls:
        for server in self._servers:
            server.start()
        return ServerUrls(
            database=self._postgres.url if self._postgres else None,
            redis=self._valkey.url if self._valkey else None,
        )

    def run(self, children: Iterable[ChildSpec], is_ready: Callable[[], bool]) -> None:
        """Keep servers and *children* running until SIGINT or SIGTERM; ask *ready* now and then until it says yes."""
        self.start_servers()
        self._defers_signals = True
        self._groups = [ProcessGroup(child, compute_mark(self._data_dir)) for child in children]
        mortals: list[Restartable] = [*self._servers, *self._groups]
        kept = [ManagedProcess(one) for one in mortals]
        told = False
        while not self._signal_count:
            for one in kept:
                one.check()
            for server in self._servers:
                server.rotate_log()
            reap_orphans({one.pid for one in mortals})
            told = told or is_ready()
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
        give_up = time.monotonic() + timeout_s
        while condition() and time.monotonic() < give_up and not self._signal_count:
            time.sleep(_POLL_INTERVAL_S)


def _stop_signals() -> list[signal.Signals]:
    """The signals that mean: stop. A closed terminal means it too, unless `nohup` said otherwise."""
    hangup = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]
