"""The web's listening socket, opened by the process that outlives all web processes.

Children inherit it, so that connections wait while one of them is restarted, and no other installation can share the
port. `signalhub up` opens it before anything is started, and keeps it while `signalhub web` is restarted.

Separate because the port is that of the web: the embedded servers listen on Unix sockets only.
"""

import errno
import os
import socket
import time
from typing import Any, Final

from signalhub.embedded import EmbeddedError

LISTENER_VARIABLE: Final = "_SIGNALHUB_LISTENER"
"""Names the file descriptor of a listening socket that `signalhub web` inherits."""

MAX_PENDING_CONNECTIONS: Final = 4_096
"""Connections that wait to be accepted; more are refused by the system."""

_KEEPALIVE_PROBES: Final = 3
_RELEASE_TIMEOUT_S = 2.0
_POLL_INTERVAL_S = 0.05

_REASONS = {
    errno.EADDRINUSE: "is in use: stop what listens there, or set SIGNALHUB_PORT to another",
    errno.EACCES: "is reserved for root: set SIGNALHUB_PORT to 1024 or above",
    errno.EADDRNOTAVAIL: "cannot be had, since no network interface here has this address: set SIGNALHUB_HOST",
}


class PortUnavailable(EmbeddedError):  # noqa: N818 - names a state of the machine
    """The web could not listen on the configured address."""


def open_listener(host: str, port: int) -> socket.socket:
    """Listen on `host`:`port`. Raises PortUnavailable, with a sentence that names the port, where that is impossible.

    For two seconds it waits for a port in use: web processes whose parent was killed are about to release it.
    """
    deadline = time.monotonic() + _RELEASE_TIMEOUT_S
    while True:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            return _listen(socket.socket(family, kind, protocol), address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                reason = _REASONS.get(error.errno or 0, f"cannot be had: {error.strerror}")
                raise PortUnavailable(f"Port {port} on {host} {reason}.") from None
        time.sleep(_POLL_INTERVAL_S)


def _listen(listener: socket.socket, address: tuple[Any, ...]) -> socket.socket:
    try:
        # Connections in TIME_WAIT do not count, listeners do.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(MAX_PENDING_CONNECTIONS)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def limit_unacknowledged_time(listener: socket.socket, timeout_s: float) -> None:
    """Drop connections whose peer acknowledges neither data nor a probe for `timeout_s`, as after a network failure.

    Accepted connections inherit the options. Without them Linux sends data again for a quarter of an hour, and an idle
    connection stays for ever. A system that lacks an option uses its own time.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle_s, interval_s = max(1, round(timeout_s)), max(1, round(timeout_s / _KEEPALIVE_PROBES))
    options = {
        "TCP_KEEPIDLE": idle_s,
        "TCP_KEEPINTVL": interval_s,
        "TCP_KEEPCNT": _KEEPALIVE_PROBES,
        "TCP_USER_TIMEOUT": round(timeout_s * 1000),
    }
    for name, value in options.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def inherit_listener() -> socket.socket | None:
    """Return the socket that `signalhub up` has opened for this process, or None if this was started alone."""
    descriptor = os.environ.pop(LISTENER_VARIABLE, None)
    return None if descriptor is None else socket.socket(fileno=int(descriptor))
