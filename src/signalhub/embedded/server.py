"""Base class of the two embedded servers, with their log file and the lock of a data directory.

The kernel drops the lock with the process, so `kill -9` leaves no stale lock.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import Signals
from typing import IO, ClassVar, Self

import psutil  # type: ignore[import-untyped]  # it ships none
import structlog

from signalhub.embedded import AlreadyRunning, EmbeddedError, child_processes
from signalhub.embedded.child_processes import SERVER_ENVIRONMENT, spawn
from signalhub.embedded.paths import ServerPaths, ServerUser

MAX_LOG_BYTES = 5_000_000
_LOG_TAIL_BYTES = 4_000

_KNOWN_CAUSES = {
    "No space left on device": "the disk is full",
    "Read-only file system": "the file system is read-only",
    "Permission denied": "files there may not be read or written",
    "Bad file format reading the append only file": "its append-only file is damaged",
}


def open_log(path: Path) -> IO[bytes]:
    """Open the log for appending; `tell()` is the offset where this start begins."""
    rotate_log_file(path)
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")
    file.seek(0, os.SEEK_END)
    return file


def rotate_log_file(path: Path) -> None:
    """Copy a log above MAX_LOG_BYTES to `.1` and empty it in place, since the server has it open."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        shutil.copy2(path, f"{path}.1")
        os.truncate(path, 0)


def read_last_lines(path: Path, *, offset: int, max_lines: int = 6) -> str:
    with path.open("rb") as file:
        file.seek(max(offset, path.stat().st_size - _LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-max_lines:])


def find_known_cause(lines: str) -> str:
    """Return a known cause in plain words; empty where `lines` name none."""
    return next((cause for message, cause in _KNOWN_CAUSES.items() if message in lines), "")


class DirectoryLock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Lock the directory, which is created on first use. Raises AlreadyRunning where another process holds it."""
        if self._descriptor is not None:
            return
        descriptor = self._open_file()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode() or "unknown"
            os.close(descriptor)
            raise AlreadyRunning(f"{self._path.parent} is in use by process {holder}: stop that one first.") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open_file(self) -> int:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedError(f"{self._path.parent} cannot be used: {error.strerror}.") from error


logger = structlog.get_logger()

START_TIMEOUT_S = 300.0  # recovery after a crash replays the log; a large one takes minutes on a slow disk
STOP_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.005


class Server(ABC):
    """A server on `data_dir`, child of the process that calls `start`.

    Every method may be called at any time and more than once, by one thread at a time.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    stop_signal: ClassVar[Signals]

    def __init__(
        self, data_dir: Path, *, run_dir: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.user = ServerUser.current()
        self.paths = ServerPaths.resolve(self.name, data_dir, run_dir)
        self.settings = dict(settings or {})
        self._lock = DirectoryLock(self.paths.lock_file)
        self._log_offset = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def prepare(self) -> None:
        """Prepare the server's directory for a start; no server runs in it."""

    @abstractmethod
    def build_command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    @property
    def status(self) -> int | None:
        """Exit status of the last run, or the negative number of the signal that ended it; None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedError(f"{self.name} was not started.")
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None  # poll() reaps, so a zombie does not count

    def has_come_up(self) -> bool:
        return self.is_ready()

    def is_frozen(self) -> bool:
        """Return False: a server that does not answer may be recovering, and would have to begin again."""
        return False

    def start(self) -> None:
        """Start the server and wait until it answers. Its data is created on first use; an orphan is stopped first."""
        if self.is_alive():
            return
        started_at = time.monotonic()
        try:
            self.launch()
            self._wait_until_ready()
        except BaseException:
            self.kill()
            self.stop()
            raise
        logger.info(
            "embedded.started", server=self.name, pid=self.pid, ms=round(1000 * (time.monotonic() - started_at))
        )

    def launch(self) -> None:
        """Start the server without waiting until it answers."""
        self.kill()  # a backend of our dead server may still be busy, and would prevent the start
        self._lock.acquire()
        with self._translate_os_errors():
            self.paths.create_run_dir(self.user)
            if orphans := child_processes.stop_all(self._find_processes, stop_signal=self.stop_signal):
                logger.warning("embedded.orphans_ended", server=self.name, processes=orphans)
            self.paths.clear_sockets()
            self.prepare()
            self._spawn()

    def request_stop(self) -> None:
        """Ask the server to stop, and return at once."""
        if self._process is not None and self.is_alive():
            self._process.send_signal(self.stop_signal)

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop cleanly; after `timeout_s` with SIGKILL, which loses no data but makes the next start slower."""
        if not self._lock.is_held:
            return
        if self._process is not None:
            self.request_stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
            self.kill()
            logger.info("embedded.stopped", server=self.name, status=self.status)
        self.paths.remove_run_dir()
        self._lock.release()

    def kill(self) -> None:
        """Kill the server and its children, as a crash would. The directory stays locked until `stop`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._lock.is_held:  # otherwise a process with our mark is another supervisor's
            child_processes.kill_all(self._find_processes)

    def last_log_lines(self) -> str:
        """Return the known cause of the last exit, or the last line of the log."""
        lines = read_last_lines(self.paths.log_file, offset=self._log_offset)
        return find_known_cause(lines) or lines.rpartition("\n")[2]

    def rotate_log(self) -> None:
        rotate_log_file(self.paths.log_file)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self) -> None:
        with open_log(self.paths.log_file) as log:
            self._log_offset = log.tell()
            self._process = spawn(
                self.build_command(),
                env=SERVER_ENVIRONMENT,
                stop_signal=self.stop_signal,
                cwd=self.paths.server_dir,
                output=log,
                umask=0o077,
                **self.user.popen_options(),
            )

    def _find_processes(self) -> list[psutil.Process]:
        return child_processes.find_server_processes(self.program, self.paths.mark, self.user.uid)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            if not self.is_alive():
                raise self._build_error("did not start")
            if time.monotonic() > deadline:
                raise self._build_error(f"did not answer within {START_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_INTERVAL_S)

    def _build_error(self, problem: str) -> EmbeddedError:
        lines = read_last_lines(self.paths.log_file, offset=self._log_offset)
        return EmbeddedError(
            f"{self.name} {problem} in {self.paths.data_dir}: "
            f"{find_known_cause(lines) or 'its log ends with'}.\n{lines}"
        )

    @contextlib.contextmanager
    def _translate_os_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EmbeddedError(f"{self.name} cannot use {self.paths.data_dir}: {error.strerror or error}.") from error
