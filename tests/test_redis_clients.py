"""Clients of Redis over TLS with a password: blocking, and on an event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from signalhub import redis_clients
from signalhub.embedded.valkey import Valkey
from tests.kit.certificates import create_certificate, run_tls_server
from tests.kit.polling import wait_until
from tests.kit.processes import find_free_port


@pytest.fixture
async def tls_url(tmp_path: Path) -> AsyncIterator[str]:
    port, certificate = find_free_port(), create_certificate(tmp_path)
    server = Valkey(tmp_path / "data", settings={"port": str(port), "appendonly": "no"})
    server.start()
    with redis_clients.connect(server.url) as client:
        client.config_set("requirepass", "p@ss")
    async with run_tls_server(certificate, port) as tls_port:
        yield f"rediss://:p%40ss@localhost:{tls_port}/0?ssl_ca_certs={certificate.certificate_file}"
    server.stop()


async def test_clients_reach_redis_over_tls(tls_url: str) -> None:
    async with redis_clients.connect_async(tls_url, timeout_s=2.0) as client:
        assert await _wait_for(lambda: client.set("key", "value"))
    assert await _wait_for(lambda: asyncio.to_thread(_read, tls_url)) == b"value"


async def test_unknown_authority_is_refused(tls_url: str) -> None:
    async with redis_clients.connect_async(tls_url.partition("?")[0], timeout_s=2.0) as client:
        with pytest.raises(RedisError, match="certificate verify failed"):
            await _wait_for(client.ping)


async def _wait_for(call: Callable[[], Awaitable[Any]]) -> object:
    """Return the result. A handshake may take longer than the timeout here, where both ends share a busy machine."""

    async def attempt() -> object:
        with suppress(RedisTimeoutError):
            return await call()
        return None

    return await wait_until(attempt)


def _read(url: str) -> object:
    with redis_clients.connect(url) as client:
        return client.get("key")
