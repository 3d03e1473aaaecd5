"""What a server says, in a file of bounded size, and its last words when it fails."""

import os
from pathlib import Path
from typing import IO

_MAX_BYTES = 5_000_000
_TAIL_BYTES = 4_000

_CAUSES = {
    "No space left on device": "the disk is full",
    "Read-only file system": "the file system is read-only",
    "Permission denied": "files there may not be read or written",
    "Bad file format reading the append only file": "its append-only file is damaged",
}


def open_log(path: Path) -> IO[bytes]:
    """Open for appending, so that `tell()` is where this start begins; a long file becomes the `.1` beside it."""
    if path.exists() and path.stat().st_size > _MAX_BYTES:
        path.replace(f"{path}.1")
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")
    file.seek(0, os.SEEK_END)
    return file


def last_lines(path: Path, *, since: int, count: int = 6) -> str:
    with path.open("rb") as file:
        file.seek(max(since, path.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-count:])


def cause(lines: str) -> str:
    """Return the reason in plain words, where the server's *lines* give a known one."""
    return next((plain for words, plain in _CAUSES.items() if words in lines), "its last words follow")
