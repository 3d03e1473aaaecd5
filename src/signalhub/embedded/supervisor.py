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
from signalhub.embedded.group import Child, Group
from signalhub.embedded.kept import Kept, Mortal
from signalhub.embedded.lock import Lock
from signalhub.embedded.place import mark_of
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.reaper import reap_strangers
from signalhub.embedded.server import STOP_PATIENCE_S, Server
from signalhub.embedded.valkey import Valkey

logger = structlog.get_logger()

CHILD_PATIENCE_S = 10.0
_POLL_S = 0.05


class Urls(NamedTuple):
    """Where the embedded servers are; None for one that is not embedded."""

    database: str | None
    redis: str | None


class Supervisor:
    def __init__(self, data_dir: Path, *, postgres: bool = True, valkey: bool = True) -> None:
        self._data_dir = data_dir
        self._postgres = Postgres(data_dir) if postgres else None
        self._valkey = Valkey(data_dir) if valkey else None
        self._servers: list[Server] = [server for server in (self._postgres, self._valkey) if server]
        self._groups: list[Group] = []
        self._lock = Lock(data_dir / "up.lock")
        self._signals = 0
        self._patient = False  # before the loop a signal interrupts; in it, and after it, it is only counted

    def __enter__(self) -> Self:
        self._lock.acquire()
        if left := orphans.end(partial(orphans.of_supervisor, mark_of(self._data_dir)), politely=signal.SIGTERM):
            logger.warning("supervisor.orphans_ended", processes=left)
        self._handlers = {which: signal.signal(which, self._heed) for which in _endings()}
        return self

    def __exit__(self, *_: object) -> None:
        self._patient, self._signals = True, 0  # one more now means: faster
        self._stop_groups()
        for server in reversed(self._servers):
            self._stop_server(server)
        for which, handler in self._handlers.items():
            signal.signal(which, handler)
        self._lock.release()

    def start_servers(self) -> Urls:
        for server in self._servers:
            server.start()
        return Urls(
            database=self._postgres.url if self._postgres else None,
            redis=self._valkey.url if self._valkey else None,
        )

    def run(self, children: Iterable[Child], ready: Callable[[], bool]) -> None:
        """Keep servers and *children* running until SIGINT or SIGTERM; ask *ready* now and then until it says yes."""
        self.start_servers()
        self._patient = True
        self._groups = [Group(child, mark_of(self._data_dir)) for child in children]
        mortals: list[Mortal] = [*self._servers, *self._groups]
        kept = [Kept(one) for one in mortals]
        told = False
        while not self._signals:
            for one in kept:
                one.tend()
            for server in self._servers:
                server.trim_log()
            reap_strangers({one.pid for one in mortals})
            told = told or ready()
            time.sleep(_POLL_S)

    def _heed(self, which: int, _: FrameType | None) -> None:
        self._signals += 1
        if not self._patient:
            raise SystemExit(128 + which)

    def _stop_groups(self) -> None:
        for group in reversed(self._groups):
            group.ask()
        self._wait(lambda: any(group.alive() for group in self._groups), CHILD_PATIENCE_S)
        for group in reversed(self._groups):
            group.kill()

    def _stop_server(self, server: Server) -> None:
        server.ask()
        self._wait(server.alive, STOP_PATIENCE_S)
        server.stop(patience_s=0)

    def _wait(self, going_on: Callable[[], bool], patience_s: float) -> None:
        give_up = time.monotonic() + patience_s
        while going_on() and time.monotonic() < give_up and not self._signals:
            time.sleep(_POLL_S)


def _endings() -> list[signal.Signals]:
    """The signals that mean: stop. A closed terminal means it too, unless `nohup` said otherwise."""
    hangup = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]
