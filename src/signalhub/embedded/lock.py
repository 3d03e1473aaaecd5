"""One owner for a data directory, for as long as its process lives.

The kernel drops the lock with the process, so there is no stale lock to clean up after `kill -9`.
"""

import fcntl
import os
from pathlib import Path

from signalhub.embedded.errors import AlreadyRunning, EmbeddedError


class DirectoryLock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the directory, which is made on first use, or raise `AlreadyRunning`."""
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
