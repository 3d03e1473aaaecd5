"""What the two servers have in common: one directory, one lock, one child process, one private socket."""

import contextlib
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import Signals
from typing import ClassVar, Self

import psutil  # type: ignore[import-untyped]  # it ships none
import structlog

from signalhub.embedded import orphans
from signalhub.embedded.account import Account
from signalhub.embedded.child import ENVIRONMENT, spawn
from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.lock import Lock
from signalhub.embedded.logfile import cause, last_lines, open_log, trim
from signalhub.embedded.place import Place

logger = structlog.get_logger()

START_PATIENCE_S = 300.0  # recovery after a crash replays the log; a large one takes minutes on a slow disk
STOP_PATIENCE_S = 30.0
_POLL_S = 0.005


class Server(ABC):
    """A server on *data_dir*, child of the process that calls `start`.

    Every method may be called at any time and more than once, by one thread at a time.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    farewell: ClassVar[Signals]

    def __init__(
        self, data_dir: Path, *, run_dir: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.account = Account.current()
        self.place = Place.of(self.name, data_dir, run_dir)
        self.settings = dict(settings or {})
        self._lock = Lock(self.place.lock)
        self._log_began = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def prepare(self) -> None:
        """Make the home directory fit for a start; no server runs in it."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def answers(self) -> bool: ...

    @property
    def status(self) -> int | None:
        """How the last run ended: a status, or the negative of a signal; None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedError(f"{self.name} was not started.")
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None  # poll() reaps, so a zombie is no life

    def start(self) -> None:
        """Return when the server answers: made on first use, in place of one that a dead parent left behind."""
        if self.alive():
            return
        began = time.monotonic()
        try:
            self.launch()
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            self.stop()
            raise
        logger.info("embedded.started", server=self.name, pid=self.pid, ms=round(1000 * (time.monotonic() - began)))

    def launch(self) -> None:
        """Start without waiting for an answer."""
        self.kill()  # a backend of our own dead server may still be busy, and would keep the next one out
        self._lock.acquire()
        with self._plain_errors():
            self.place.open_run_dir(self.account)
            if left := orphans.end(self._processes, politely=self.farewell):
                logger.warning("embedded.orphans_ended", server=self.name, processes=left)
            self.place.clear_sockets()
            self.prepare()
            self._spawn()

    def ask(self) -> None:
        """Ask the server to stop, and return at once."""
        if self._process is not None and self.alive():
            self._process.send_signal(self.farewell)

    def stop(self, *, patience_s: float = STOP_PATIENCE_S) -> None:
        """Stop cleanly; after *patience_s* by force, which loses nothing either but makes the next start slower."""
        if not self._lock.held:
            return
        if self._process is not None:
            self.ask()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
            self.kill()
            logger.info("embedded.stopped", server=self.name, status=self.status)
        self.place.close_run_dir()
        self._lock.release()

    def kill(self) -> None:
        """End the server and its children at once, as a crash would. The directory stays ours until `stop`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._lock.held:  # else what bears our mark is somebody else's
            orphans.kill(self._processes)

    def last_words(self) -> str:
        """Why it died, as far as it said so."""
        lines = last_lines(self.place.log, since=self._log_began)
        return cause(lines) or lines.rpartition("\n")[2]

    def trim_log(self) -> None:
        trim(self.place.log)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self) -> None:
        with open_log(self.place.log) as log:
            self._log_began = log.tell()
            self._process = spawn(
                self.command(),
                env=ENVIRONMENT,
                farewell=self.farewell,
                cwd=self.place.home,
                output=log,
                umask=0o077,
                **self.account.popen_options(),
            )

    def _processes(self) -> list[psutil.Process]:
        return orphans.of_server(self.program, self.place.mark, self.account.uid)

    def _wait_until_it_answers(self) -> None:
        give_up = time.monotonic() + START_PATIENCE_S
        while not self.answers():
            if not self.alive():
                raise self._failure("did not start")
            if time.monotonic() > give_up:
                raise self._failure(f"did not answer within {START_PATIENCE_S:.0f} s")
            time.sleep(_POLL_S)

    def _failure(self, what: str) -> EmbeddedError:
        lines = last_lines(self.place.log, since=self._log_began)
        return EmbeddedError(
            f"{self.name} {what} in {self.place.data_dir}: {cause(lines) or 'its last words follow'}.\n{lines}"
        )

    @contextlib.contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EmbeddedError(f"{self.name} cannot use {self.place.data_dir}: {error.strerror or error}.") from error
