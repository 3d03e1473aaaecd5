"""Serve an ASGI application with granian in this process, on a socket that listens already.

granian's own main process ends when a child dies twice within 5.5 s, and its children have listening sockets of their
own, whose waiting connections are reset when a child dies. So processes and sockets are managed by
`signalhub.supervision`, and of granian only what runs in one of its children is used.

Separate because it is the one place that leans on private names of granian; `tests/test_web_server.py` names each of
them, and fails when its version or one of them changes.
"""

import signal
import socket
from collections.abc import Callable
from typing import Any, Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.server.mp import MPServer
from litestar.types import ASGIApp

MAX_HEAD_BYTES: Final = 16 * 1024
"""Bytes of a request's line and headers; granian refuses more with 431, before there is a request."""


def serve(
    listener: socket.socket, load_application: Callable[[], ASGIApp], *, backlog: int, keep_alive_s: float
) -> None:
    """Serve until granian gets SIGINT, or SIGTERM unless the application handles it. Others may use the same socket."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    server: Any = MPServer(
        "",  # the application is loaded by `load_application`
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        # Socket writes are started without awaiting the previous one; a thread pool would not keep their order.
        runtime_mode=RuntimeModes.st,
        # No client uses HTTP/2 without TLS; it hides that a subscriber has disconnected, and takes 11 kB a stream.
        http=HTTPModes.http1,
        # granian's limit for the head of a request is also that of an idle connection, which waits for one.
        http1_settings=HTTP1Settings(header_read_timeout=int(keep_alive_s * 1000), max_buffer_size=MAX_HEAD_BYTES),
        # Open streams count as pending requests: at the default, 1,024 of them block the process.
        backpressure=20_000,
        log_enabled=False,
    )
    holder: Any = (
        SocketHolder  # its stub does not know the arguments: a descriptor, whether it is a Unix socket, backlog
    )
    server._shd, server._sso = holder(listener.fileno(), False, backlog), None  # noqa: SLF001 - see above
    child = server._spawn_worker(0, server._spawn_asgi_lifespan_worker, load_application)  # noqa: SLF001 - see above
    child.inner.run()  # in this process: a child that was started would run the same
