"""Who the servers run as.

PostgreSQL refuses to run as root. So where we are root the servers run as `nobody`, which every system has: no
account is created, and nothing outside the data directory changes hands.


Where one server of one data directory keeps its things.

Data, log and lock lie in the data directory. Sockets cannot: a socket's path may have about 107 bytes, a data
directory's any number. They go to a short directory under /tmp whose name follows from the data directory, so that
every process finds it without asking. Not under XDG_RUNTIME_DIR: it differs between sessions and vanishes at logout.
"""

import contextlib
import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalhub.embedded.errors import EmbeddedError


@dataclass(frozen=True)
class ServerUser:
    uid: int
    gid: int
    drops_root: bool

    @classmethod
    def current(cls) -> "ServerUser":
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), drops_root=False)
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid, drops_root=True)

    def popen_options(self) -> dict[str, Any]:
        """What makes `subprocess.Popen` start the child as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drops_root else {}

    def make_directory(self, path: Path) -> None:
        """Make *path*, 0700 and of this account; one that exists must already be so."""
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            self._require_ownership(path)
        else:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def _require_ownership(self, path: Path) -> None:
        owner = path.lstat().st_uid
        if owner != self.uid:
            raise EmbeddedError(
                f"{path} belongs to {user_name(owner)}, but the server would run as {user_name(self.uid)}: "
                f"start SignalHub as its first user, or choose another SIGNALHUB_DATA_DIR."
            )


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


MAX_SOCKET_PATH_BYTES = 103  # macOS; Linux allows four more
_MAX_SOCKET_NAME_BYTES = len("/postgres/.s.PGSQL.5432")


@dataclass(frozen=True)
class ServerPaths:
    server: str
    data_dir: Path
    run_dir: Path

    @classmethod
    def resolve(cls, server: str, data_dir: Path, run_dir: Path | None) -> "ServerPaths":
        home = data_dir.resolve()
        place = cls(server, home, run_dir or Path("/tmp") / f"signalhub-{os.geteuid()}-{_digest(home)}")  # noqa: S108  # ownership is checked
        if len(os.fsencode(place.run_dir)) + _MAX_SOCKET_NAME_BYTES > MAX_SOCKET_PATH_BYTES:
            raise EmbeddedError(
                f"{place.run_dir} is too long a path for a Unix socket: choose a shorter run directory."
            )
        return place

    @property
    def mark(self) -> str:
        return compute_mark(self.data_dir)

    @property
    def server_dir(self) -> Path:
        return self.data_dir / self.server

    @property
    def log_file(self) -> Path:
        return self.data_dir / f"{self.server}.log"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / f"{self.server}.lock"

    @property
    def socket_dir(self) -> Path:
        return self.run_dir / self.server

    def create_run_dir(self, user: ServerUser) -> None:
        """Make the socket directories, or make sure that the ones there are ours and closed to others."""
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(self.run_dir):
            raise EmbeddedError(f"{self.run_dir} was made by somebody else and is not to be trusted: remove it.")
        # As root the outer one stays root's and lets `nobody` only pass through, so that nothing can be planted in it.
        self.run_dir.chmod(0o711 if user.drops_root else 0o700)
        user.make_directory(self.socket_dir)

    def clear_sockets(self) -> None:
        """Remove what a dead server left: its lock names a pid that may be a zombie's or anybody's by now."""
        for path in self.socket_dir.iterdir():
            path.unlink()

    def remove_run_dir(self) -> None:
        if not _is_private(self.run_dir):
            return
        # Already gone, or the other server still has its socket beside ours.
        with contextlib.suppress(OSError):
            self.clear_sockets()
            self.socket_dir.rmdir()
            self.run_dir.rmdir()


def compute_mark(data_dir: Path) -> str:
    """Return a word that every process of this data directory carries, and no other."""
    return f"signalhub-{_digest(data_dir.resolve())}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _is_private(directory: Path) -> bool:
    """Tell whether *directory* is a real one, ours, and writable by nobody else."""
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return False
    closed = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and closed
