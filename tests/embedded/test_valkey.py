"""Valkey starts, keeps its data and takes nothing but its socket."""

import pytest
import redis
import redis.asyncio

from signalhub.embedded.errors import EmbeddedError
from signalhub.embedded.valkey import Valkey


async def test_the_url_suits_redis_py(valkey: Valkey) -> None:
    async with redis.asyncio.from_url(valkey.url) as client:
        await client.set("key", "value")
    with redis.from_url(valkey.url) as client:
        assert client.get("key") == b"value"


def test_a_restart_keeps_the_data(valkey: Valkey) -> None:
    with redis.from_url(valkey.url) as client:
        client.xadd("stream", {"seq": 1}, id="1-0")
    valkey.stop()
    valkey.start()
    with redis.from_url(valkey.url) as client:
        assert client.xrange("stream") == [(b"1-0", {b"seq": b"1"})]


def test_it_persists_by_log_alone_and_evicts_nothing(valkey: Valkey) -> None:
    with redis.from_url(valkey.url, decode_responses=True) as client:
        settings = client.config_get("save", "appendonly", "appendfsync", "maxmemory-policy")
    expected = {"save": "", "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    assert settings == expected


def test_nothing_is_open_but_a_private_socket(valkey: Valkey) -> None:
    with redis.from_url(valkey.url, decode_responses=True) as client:
        assert client.config_get("port", "tls-port") == {"port": "0", "tls-port": "0"}
    assert valkey.paths.socket_dir.stat().st_mode & 0o777 == 0o700
    assert valkey.paths.server_dir.stat().st_mode & 0o777 == 0o700


def test_a_damaged_log_is_named_as_the_cause(valkey: Valkey) -> None:
    with redis.from_url(valkey.url) as client:
        client.set("key", "value")
    valkey.stop()
    log = next((valkey.paths.server_dir / "appendonlydir").glob("*.incr.aof"))
    log.write_bytes(b"not a command\r\n" + log.read_bytes())
    with pytest.raises(EmbeddedError, match="its append-only file is damaged"):
        valkey.start()
