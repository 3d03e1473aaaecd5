"""Exit with 0 where `.venv` matches `requirements.lock` and `pyproject.toml`; `--written` records that it does.

It runs before every recipe, in the Python of the environment, whose version is part of the comparison. So it imports
very little, and `.venv/current` holds the files themselves: comparing them is faster than hashing them.
"""

import os
import sys

CURRENT, STALE, BROKEN = 0, 3, 4

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib takes too long to import
_STAMP_FILE = os.path.join(_ROOT, ".venv", "current")  # noqa: PTH118 - the same
_SOURCE_FILES = ("requirements.lock", "pyproject.toml")


def main() -> int:
    if "--written" in sys.argv:
        _write_stamp()
    return _check_stamp()


def _check_stamp() -> int:
    try:
        stamp = _read_file(_STAMP_FILE)
    except OSError:
        return BROKEN  # never complete
    if not stamp.startswith(_interpreter_id()):
        return BROKEN  # created by another Python or at another path, which the scripts in bin/ contain
    return CURRENT if stamp == _interpreter_id() + _read_sources() else STALE


def _write_stamp() -> None:
    with open(_STAMP_FILE + ".new", "wb") as new_file:  # noqa: PTH123 - the same
        new_file.write(_interpreter_id() + _read_sources())
    os.replace(_STAMP_FILE + ".new", _STAMP_FILE)  # noqa: PTH105 - the same


def _interpreter_id() -> bytes:
    return f"{sys.version}\n{_ROOT}\n".encode()


def _read_sources() -> bytes:
    return b"".join(_read_file(os.path.join(_ROOT, name)) for name in _SOURCE_FILES)  # noqa: PTH118 - the same


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - the same
        return file.read()


if __name__ == "__main__":
    sys.exit(main())
