"""What a server says, in a file of bounded size, and its last words when it fails."""

import os
import shutil
from pathlib import Path
from typing import IO

MAX_LOG_BYTES = 5_000_000
_LOG_TAIL_BYTES = 4_000

_KNOWN_CAUSES = {
    "No space left on device": "the disk is full",
    "Read-only file system": "the file system is read-only",
    "Permission denied": "files there may not be read or written",
    "Bad file format reading the append only file": "its append-only file is damaged",
}


def open_log(path: Path) -> IO[bytes]:
    """Open for appending, so that `tell()` is where this start begins."""
    rotate_log_file(path)
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")
    file.seek(0, os.SEEK_END)
    return file


def rotate_log_file(path: Path) -> None:
    """Move a long log to the `.1` beside it. The server may have it open: it goes on in the emptied file."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        shutil.copy2(path, f"{path}.1")
        os.truncate(path, 0)


def read_last_lines(path: Path, *, offset: int, max_lines: int = 6) -> str:
    with path.open("rb") as file:
        file.seek(max(offset, path.stat().st_size - _LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-max_lines:])


def find_known_cause(lines: str) -> str:
    """Return the reason in plain words, if the server's *lines* give a known one."""
    return next((plain for words, plain in _KNOWN_CAUSES.items() if words in lines), "")
