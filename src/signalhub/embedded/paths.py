"""Users and paths of the embedded servers.

PostgreSQL refuses to run as root. Where we are root the servers run as `nobody`, which every system has: no user is
created, and nothing outside the data directory changes its owner.

Data, log and lock are in the data directory. Sockets cannot be: the path of a Unix socket has at most about 107 bytes.
They are in a short directory under /tmp whose name is derived from the data directory, so that every process finds it.
Not under XDG_RUNTIME_DIR: it differs between sessions and disappears at logout.
"""

import contextlib
import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalhub.embedded import EmbeddedError


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
        """Return the options that make `subprocess.Popen` start the child as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drops_root else {}

    def make_directory(self, path: Path) -> None:
        """Create `path` with mode 0700 for this user. Raises EmbeddedError where it exists and another user owns it."""
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
        data_dir = data_dir.resolve()
        paths = cls(server, data_dir, run_dir or Path("/tmp") / f"signalhub-{os.geteuid()}-{_digest(data_dir)}")  # noqa: S108  # ownership is checked
        if len(os.fsencode(paths.run_dir)) + _MAX_SOCKET_NAME_BYTES > MAX_SOCKET_PATH_BYTES:
            raise EmbeddedError(
                f"{paths.run_dir} is too long a path for a Unix socket: choose a shorter run directory."
            )
        return paths

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
        """Create the socket directories. Raises EmbeddedError where others own or can write to existing ones."""
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(self.run_dir):
            raise EmbeddedError(f"{self.run_dir} was made by somebody else and is not to be trusted: remove it.")
        # As root the outer one stays root's: `nobody` may only pass through it, and cannot create files in it.
        self.run_dir.chmod(0o711 if user.drops_root else 0o700)
        user.make_directory(self.socket_dir)

    def clear_sockets(self) -> None:
        """Remove the sockets of a dead server: its lock file names a pid that another process may have by now."""
        for path in self.socket_dir.iterdir():
            path.unlink()

    def remove_run_dir(self) -> None:
        if not _is_private(self.run_dir):
            return
        # Already removed, or the other server still has its socket there.
        with contextlib.suppress(OSError):
            self.clear_sockets()
            self.socket_dir.rmdir()
            self.run_dir.rmdir()


def compute_mark(data_dir: Path) -> str:
    """Return the word that marks the processes of this data directory, in command line or environment."""
    return f"signalhub-{_digest(data_dir.resolve())}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _is_private(directory: Path) -> bool:
    """Return True where `directory` exists, is no link, is ours, and nobody else can write to it."""
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return False
    is_closed = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and is_closed
