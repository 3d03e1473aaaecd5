"""Bring `.venv` up to date with `requirements.lock`: made anew, changed in place, or left alone.

It runs before anything is installed, so it has nothing but the standard library. What tells a whole environment from
half of one is `.venv/current` (see `current.py`): gone before the first change, written after the last.
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

# What a user has set for other projects: it would send the packages elsewhere, or have others come with them.
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
            return 0  # another one has just done it
        try:
            _rebuild(lock, in_place=state == _STALE)
        except subprocess.CalledProcessError:
            sys.stderr.write("The environment .venv could not be made; the reason is above.\n")
            return 1
    return 0


def _check_environment() -> int:
    try:
        return subprocess.run(_stamp_command(), check=False, capture_output=True).returncode  # noqa: S603 - our own
    except OSError:
        return 1  # there is no environment, or its Python is gone


def _stamp_command(*arguments: str) -> tuple[str, ...]:
    return (str(PYTHON), "-ISB", str(ROOT / ".just" / "current.py"), *arguments)


def _rebuild(lock: int, *, in_place: bool) -> None:
    (VENV / "current").unlink(missing_ok=True)
    if not in_place:
        version = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(f"Making .venv with Python {version}: once, about a minute …\n")
        _run(lock, sys.executable, "-Im", "venv", "--clear", str(VENV))
    pip = (str(PYTHON), "-Im", "pip", "--quiet", "--no-input", "install")
    _run(lock, *pip, "--require-hashes", "--only-binary", ":all:", "--requirement", str(ROOT / "requirements.lock"))
    _run(lock, *pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    _run(lock, *_stamp_command("--written"))


def _run(lock: int, *command: str) -> None:
    """The child inherits the lock: if this process is killed, the next one waits for what the child still writes."""
    kept = {name: text for name, text in os.environ.items() if name not in _REMOVED_VARIABLES}
    subprocess.run(command, check=True, env=kept | _PIP_VARIABLES, pass_fds=[lock], stdin=subprocess.DEVNULL)  # noqa: S603 - our own


@contextmanager
def _exclusive_lock() -> Iterator[int]:
    """One at a time in this checkout; its directory is the lock, as that is no file which somebody may replace."""
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
