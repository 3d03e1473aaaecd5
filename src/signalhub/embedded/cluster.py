"""A PostgreSQL cluster on disk: made once, whole or not at all, and checked before each start."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from signalhub.embedded import binaries
from signalhub.embedded.account import ServerUser
from signalhub.embedded.child import SERVER_ENVIRONMENT
from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.logfile import find_known_cause, open_log, read_last_lines

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
                f"postgres cannot make a cluster in {self.directory}: {find_known_cause(lines) or 'its last words follow'}.\n{lines}"
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
