"""PostgreSQL of the system, in another version than the embedded one, and pgbouncer in front of any.

The suite runs on them where `TEST_POSTGRES_BIN` names a directory with `initdb` and `postgres`, or `TEST_PGBOUNCER` the
program: `TEST_POSTGRES_BIN=/usr/lib/postgresql/15/bin TEST_PGBOUNCER=/usr/sbin/pgbouncer just test tests/db`.
"""

import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from signalhub.embedded.child_processes import SERVER_ENVIRONMENT
from signalhub.embedded.postgres import CLUSTER_DIRECTORY, DATABASE, USER, Postgres
from signalhub.embedded.server import Server


class SystemPostgres(Postgres):
    """PostgreSQL from `bin_dir`. Its collation is that of the embedded one."""

    def __init__(self, bin_dir: Path, *, settings: Mapping[str, str]) -> None:
        # Before 17 its programs leave their working directory and return to it by name, so `nobody` must be able to.
        self._directory = TemporaryDirectory(prefix="signalhub-postgres-")
        Path(self._directory.name).chmod(0o711)
        super().__init__(Path(self._directory.name), settings=settings)
        self._system_bin_dir = bin_dir

    @property
    def bin_dir(self) -> Path:
        return self._system_bin_dir

    def prepare(self) -> None:
        if self.paths.server_dir.exists():
            return
        self.user.make_directory(self.paths.server_dir)
        self._run("initdb", f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self._run("postgres", "--single", statement=f"CREATE DATABASE {DATABASE}\n")

    def _run(self, program: str, *options: str, statement: str = "") -> None:
        command = [self.bin_dir / program, *options, "-D", CLUSTER_DIRECTORY, *(["postgres"] if statement else [])]
        subprocess.run(  # noqa: S603 - of the system
            command,
            input=statement.encode(),
            capture_output=True,
            cwd=self.paths.server_dir,
            env=SERVER_ENVIRONMENT,
            check=True,
            **self.user.popen_options(),
        )


class Pgbouncer(Server):
    """pgbouncer on a Unix socket, in transaction mode. Each transaction gets another session than the one before."""

    name: ClassVar = "pgbouncer"
    program: ClassVar = "pgbouncer"
    stop_signal: ClassVar = signal.SIGTERM

    def __init__(self, data_dir: Path, executable: Path, postgres: Postgres, *, mode: str = "transaction") -> None:
        super().__init__(data_dir)
        self._executable, self._postgres, self._mode = executable, postgres, mode

    @property
    def url(self) -> str:
        return self.build_url(DATABASE)

    def build_url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.paths.socket_dir}&port=6432"

    def prepare(self) -> None:
        self.user.make_directory(self.paths.server_dir)
        lines = [
            "[databases]",
            f"* = host={self._postgres.paths.socket_dir} user={USER}",
            "[pgbouncer]",
            f"unix_socket_dir = {self.paths.socket_dir}",
            "listen_port = 6432",
            "auth_type = any",
            f"pool_mode = {self._mode}",
            "server_round_robin = 1",
            "default_pool_size = 20",
            "max_client_conn = 1000",
            "server_idle_timeout = 5",
        ]
        (self.paths.server_dir / self._configuration_name).write_text("\n".join(lines), encoding="ascii")

    def build_command(self) -> list[str]:
        return [str(self._executable), self._configuration_name]

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(f"{self.paths.socket_dir}/.s.PGSQL.6432") == 0

    @property
    def _configuration_name(self) -> str:
        return f"{self.paths.mark}.ini"  # its command line tells it from other processes of the name
