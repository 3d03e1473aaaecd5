"""An unavailable port is reported before anything starts."""

import socket

import pytest

from signalhub.embedded.web_port import PortUnavailable, require_free_port


def test_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailable, match=rf"^Port {port} on 127\.0\.0\.1 is in use: .*SIGNALHUB_PORT"):
            require_free_port("127.0.0.1", port)


def test_port_with_lingering_connections_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            pass
    require_free_port("127.0.0.1", port)


def test_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortUnavailable, match="no network interface here has this address"):
        require_free_port("192.0.2.1", 8000)


def test_unknown_host_is_refused() -> None:
    with pytest.raises(PortUnavailable, match=r"Port 8000 on no\.such\.host\.invalid cannot be had"):
        require_free_port("no.such.host.invalid", 8000)
