"""Through pgbouncer: whatever a transaction needs, it brings along, since the next one has another session."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import autocommit, create_engine
from tests.kit.servers import Servers
from tests.kit.system_postgres import Pgbouncer

_EXECUTABLE = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin")

pytestmark = pytest.mark.skipif(_EXECUTABLE is None, reason="pgbouncer is not installed")


@pytest.fixture(params=["transaction", "session"])
def pgbouncer(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Pgbouncer]:
    with Pgbouncer(tmp_path, Path(_EXECUTABLE or ""), servers.postgres, mode=request.param) as running:
        yield running


@pytest.fixture
async def pooled(pgbouncer: Pgbouncer) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(pgbouncer.build_url("postgres"), statement_timeout_s=0.3)
    yield engine
    await engine.dispose()


async def test_statement_timeout_holds_behind_a_pooler(pooled: AsyncEngine) -> None:
    started_at = monotonic()
    with pytest.raises(DBAPIError, match="statement timeout"):
        async with pooled.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(5)"))
    assert monotonic() - started_at < 2


async def test_statements_find_their_session_behind_a_pooler(pooled: AsyncEngine) -> None:
    """A statement that was prepared in one session must not be run in the next."""

    async def run(number: int) -> None:
        for _ in range(20):
            async with pooled.begin() as connection:
                doubled = await connection.execute(text("SELECT CAST(:n AS integer) * 2"), {"n": number})
                assert doubled.scalar_one() == number * 2
            async with autocommit(pooled).connect() as connection:
                tripled = await connection.execute(text("SELECT CAST(:n AS integer) * 3"), {"n": number})
                assert tripled.scalar_one() == number * 3

    await asyncio.gather(*(run(number) for number in range(10)))


async def test_direct_connection_keeps_prepared_statements(servers: Servers) -> None:
    engine = create_engine(servers.postgres.build_url("postgres"))
    async with engine.connect() as connection:
        for number in range(3):
            await connection.execute(text("SELECT CAST(:n AS integer)"), {"n": number})
        prepared = await connection.execute(
            text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%$1%'")
        )
        assert prepared.scalar_one() >= 1
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar_one() == "10s"
    await engine.dispose()
