"""The loop behind `signalhub up`: servers first, then children; what dies is started again; all stops in reverse.

    with Supervisor(data_dir) as up:                    # takes the data directory, ends what a killed `up` left
        require_free_port(host, port)
        urls = up.start_servers()
        ...                                             # migrate, make a first account
        up.run([Child("web", argv, env), ...], ready)   # returns after SIGINT or SIGTERM
                                                        # leaving the block stops everything

It belongs in the main thread: it handles signals there, and the kernel ends the children when that thread ends.
As PID 1 of a container it also reaps the orphans that the kernel hands to it.
"""

import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Self

import structlog

from signalhub.embedded import orphans
from signalhub.embedded.group import ChildSpec, ProcessGroup
from signalhub.embedded.kept import ManagedProcess, Restartable
from signalhub.embedded.lock import DirectoryLock
from signalhub.embedded.place import compute_mark
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.reaper import reap_orphans
from signalhub.embedded.server import STOP_TIMEOUT_S, Server
from signalhub.embedded.valkey import Valkey

logger = structlog.get_logger()

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
        if left := orphans.stop_all(
            partial(orphans.find_supervisor_processes, compute_mark(self._data_dir)), stop_signal=signal.SIGTERM
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
