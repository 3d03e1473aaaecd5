"""Check that the web's port is free before anything is started.

Separate because the port is that of the web: the embedded servers listen on Unix sockets only.
"""

import errno
import socket

from signalhub.embedded.errors import EmbeddedError

_REASONS = {
    errno.EADDRINUSE: "is in use: stop what listens there, or set SIGNALHUB_PORT to another",
    errno.EACCES: "is reserved for root: set SIGNALHUB_PORT to 1024 or above",
    errno.EADDRNOTAVAIL: "cannot be had, since no network interface here has this address: set SIGNALHUB_HOST",
}


class PortUnavailable(EmbeddedError):  # noqa: N818 - names a state of the machine
    """The web could not listen on the configured address."""


def require_free_port(host: str, port: int) -> None:
    """Raise PortUnavailable, with a sentence that names the port, unless `host`:`port` can be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # connections in TIME_WAIT do not count, listeners do
            probe.bind(address)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"cannot be had: {error.strerror}")
        raise PortUnavailable(f"Port {port} on {host} {reason}.") from None
