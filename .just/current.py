"""Say whether `.venv` is what the sources ask for, by exit status; with `--written`, say from now on that it is.

It runs before every recipe, in the environment's own Python, whose version is part of the answer. So it imports next to
nothing, and `.venv/current` holds the sources whole: to compare them is quicker than to hash them.
"""

import os
import sys

CURRENT, STALE, BROKEN = 0, 3, 4

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib takes too long
_STAMP = os.path.join(_ROOT, ".venv", "current")  # noqa: PTH118 - the same
_SOURCES = ("requirements.lock", "pyproject.toml")


def main() -> int:
    if "--written" in sys.argv:
        _write()
    return _state()


def _state() -> int:
    try:
        found = _read(_STAMP)
    except OSError:
        return BROKEN  # never completed
    if not found.startswith(_maker()):
        return BROKEN  # made by another Python, or somewhere else: the scripts in bin/ name that place
    return CURRENT if found == _maker() + _sources() else STALE


def _write() -> None:
    with open(_STAMP + ".new", "wb") as fresh:  # noqa: PTH123 - the same
        fresh.write(_maker() + _sources())
    os.replace(_STAMP + ".new", _STAMP)  # noqa: PTH105 - the same


def _maker() -> bytes:
    return f"{sys.version}\n{_ROOT}\n".encode()


def _sources() -> bytes:
    return b"".join(_read(os.path.join(_ROOT, name)) for name in _SOURCES)  # noqa: PTH118 - the same


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - the same
        return file.read()


if __name__ == "__main__":
    sys.exit(main())
