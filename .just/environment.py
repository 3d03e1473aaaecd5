"""Bring `.venv` up to date with `requirements.lock`: create it, change it in place, or leave it.

It runs before anything is installed, so it uses only the standard library. `.venv/current` (see `current.py`) marks a
complete environment: it is removed before the first change and written after the last.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
VENV: Final = ROOT / ".venv"
PYTHON: Final = VENV / "bin" / "python"

# Set by users for other projects: they would install packages elsewhere, or install others as well.
_REMOVED_VARIABLES: Final = {
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_CONSTRAINT",
    "PIP_DRY_RUN",
}
_PIP_VARIABLES: Final = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

_CURRENT, _STALE = 0, 3


def main() -> int:
    with _exclusive_lock() as lock:
        state = _check_environment()
        if state == _CURRENT:
            return 0  # another process has just done it
        try:
            _rebuild(lock, in_place=state == _STALE)
        except subprocess.CalledProcessError:
            sys.stderr.write("The environment .venv could not be created; the reason is above.\n")
            return 1
    return 0


def _check_environment() -> int:
    try:
        return subprocess.run(_stamp_command(), check=False, capture_output=True).returncode  # noqa: S603 - our own
    except OSError:
        return 1  # there is no environment, or its Python is missing


def _stamp_command(*arguments: str) -> tuple[str, ...]:
    return (str(PYTHON), "-ISB", str(ROOT / ".just" / "current.py"), *arguments)


def _rebuild(lock: int, *, in_place: bool) -> None:
    (VENV / "current").unlink(missing_ok=True)
    if not in_place:
        version = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(f"Creating .venv with Python {version}: once, about a minute …\n")
        _run(lock, sys.executable, "-Im", "venv", "--clear", str(VENV))
    pip = (str(PYTHON), "-Im", "pip", "--quiet", "--no-input", "install")
    _run(lock, *pip, "--require-hashes", "--only-binary", ":all:", "--requirement", str(ROOT / "requirements.lock"))
    _run(lock, *pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    _run(lock, *_stamp_command("--written"))


def _run(lock: int, *command: str) -> None:
    """Run a command that inherits the lock: if this process is killed, the next one waits until the command ends."""
    environ = {name: text for name, text in os.environ.items() if name not in _REMOVED_VARIABLES}
    subprocess.run(command, check=True, env=environ | _PIP_VARIABLES, pass_fds=[lock], stdin=subprocess.DEVNULL)  # noqa: S603 - our own


@contextmanager
def _exclusive_lock() -> Iterator[int]:
    """Lock this checkout by its directory, which nobody replaces while it is in use."""
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
