"""`kill -9` of the servers while clients write: nothing that was acknowledged is lost."""

import asyncio
import contextlib
import itertools

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
import redis.asyncio
import redis.exceptions

from signalhub.embedded.postgres import Postgres
from signalhub.embedded.valkey import Valkey

pytestmark = pytest.mark.fault

ROUNDS = 3
WRITERS = 4
WRITE_DURATION_S = 0.3

# asyncpg raises the last when the server dies between two of its packets.
_LOST_CONNECTION = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncpg.InternalClientError)


async def test_killed_server_loses_no_acknowledged_row(postgres: Postgres) -> None:
    acknowledged: set[int] = set()
    numbers = itertools.count()
    await _execute(postgres, "create table written (number bigint)")
    for _ in range(ROUNDS):
        writers = [asyncio.create_task(_insert(postgres, numbers, acknowledged)) for _ in range(WRITERS)]
        await asyncio.sleep(WRITE_DURATION_S)
        await asyncio.to_thread(postgres.kill)
        await asyncio.gather(*writers)
        postgres.start()
    kept = {row["number"] for row in await _execute(postgres, "select number from written")}
    assert len(acknowledged) > 100
    assert acknowledged <= kept


async def test_valkey_loses_under_two_percent_of_acknowledged_entries(valkey: Valkey) -> None:
    """Valkey defers an fsync for up to 2 s while the previous one is still running on a busy disk.

    That is acceptable: data that must not be lost is in PostgreSQL.
    """
    acknowledged: set[int] = set()
    numbers = itertools.count()
    for _ in range(ROUNDS):
        writers = [asyncio.create_task(_append(valkey, numbers, acknowledged)) for _ in range(WRITERS)]
        await asyncio.sleep(WRITE_DURATION_S)
        await asyncio.to_thread(valkey.kill)
        await asyncio.gather(*writers)
        valkey.start()
    async with redis.asyncio.from_url(valkey.url) as client:
        kept = {int(number) for number in await client.lrange("written", 0, -1)}
    assert len(acknowledged) > 100
    assert len(acknowledged - kept) < len(acknowledged) / 50


async def _connect(server: Postgres) -> asyncpg.Connection:
    return await asyncpg.connect(host=str(server.paths.socket_dir), user="signalhub", database="signalhub")


async def _execute(server: Postgres, statement: str) -> list[asyncpg.Record]:
    connection = await _connect(server)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def _insert(server: Postgres, numbers: "itertools.count[int]", acknowledged: set[int]) -> None:
    connection = await _connect(server)
    with contextlib.suppress(*_LOST_CONNECTION):
        for number in numbers:
            await connection.execute("insert into written values ($1)", number)
            acknowledged.add(number)


async def _append(server: Valkey, numbers: "itertools.count[int]", acknowledged: set[int]) -> None:
    client = redis.asyncio.from_url(server.url, retry=None)
    with contextlib.suppress(redis.exceptions.ConnectionError):
        for number in numbers:
            await client.rpush("written", number)
            acknowledged.add(number)
    with contextlib.suppress(redis.exceptions.ConnectionError):
        await client.aclose()
