"""Valkey starts, keeps its data and listens on nothing but its socket."""

import pytest
import redis
import redis.asyncio

from signalhub.embedded import EmbeddedError
from signalhub.embedded.valkey import Valkey


async def test_redis_py_connects_to_the_url(valkey: Valkey) -> None:
    async with redis.asyncio.from_url(valkey.url) as client:
        await client.set("key", "value")
    with redis.from_url(valkey.url) as client:
        assert client.get("key") == b"value"


def test_data_survives_a_restart(valkey: Valkey) -> None:
    with redis.from_url(valkey.url) as client:
        client.xadd("stream", {"seq": 1}, id="1-0")
    valkey.stop()
    valkey.start()
    with redis.from_url(valkey.url) as client:
        assert client.xrange("stream") == [(b"1-0", {b"seq": b"1"})]


def test_valkey_persists_to_append_only_file_and_evicts_nothing(valkey: Valkey) -> None:
    with redis.from_url(valkey.url, decode_responses=True) as client:
        settings = client.config_get("save", "appendonly", "appendfsync", "maxmemory-policy")
    expected = {"save": "", "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    assert settings == expected


def test_valkey_listens_on_a_private_socket_only(valkey: Valkey) -> None:
    with redis.from_url(valkey.url, decode_responses=True) as client:
        assert client.config_get("port", "tls-port") == {"port": "0", "tls-port": "0"}
    assert valkey.paths.socket_dir.stat().st_mode & 0o777 == 0o700
    assert valkey.paths.server_dir.stat().st_mode & 0o777 == 0o700


def test_damaged_append_only_file_is_named_as_cause(valkey: Valkey) -> None:
    with redis.from_url(valkey.url) as client:
        client.set("key", "value")
    valkey.stop()
    log = next((valkey.paths.server_dir / "appendonlydir").glob("*.incr.aof"))
    log.write_bytes(b"not a command\r\n" + log.read_bytes())
    with pytest.raises(EmbeddedError, match="its append-only file is damaged"):
        valkey.start()
