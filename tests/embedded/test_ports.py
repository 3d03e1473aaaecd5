"""An unavailable port is reported before anything starts."""

import socket
import threading

import pytest

from signalhub.embedded.web_port import PortUnavailable, limit_unacknowledged_time, open_listener


def test_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailable, match=rf"^Port {port} on 127\.0\.0\.1 is in use: .*SIGNALHUB_PORT"):
            open_listener("127.0.0.1", port)


def test_port_with_lingering_connections_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            pass
    open_listener("127.0.0.1", port).close()


def test_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortUnavailable, match="no network interface here has this address"):
        open_listener("192.0.2.1", 8000)


def test_unknown_host_is_refused() -> None:
    with pytest.raises(PortUnavailable, match=r"Port 8000 on no\.such\.host\.invalid cannot be had"):
        open_listener("no.such.host.invalid", 8000)


def test_port_released_a_moment_later_is_taken() -> None:
    """Web processes whose parent was killed end a moment after it."""
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    threading.Timer(0.2, other.close).start()
    open_listener("127.0.0.1", port).close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="an option of Linux")
def test_accepted_connection_inherits_the_limit_of_unacknowledged_time() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        limit_unacknowledged_time(listener, 30)
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()[:2]), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
