"""`migrate` and `epoch renew` on databases that refuse, or that do not run."""

import asyncio
import shutil
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import text

from db import epoch, migrate
from db.engine import create_engine
from signalhub.embedded.postgres import Postgres
from tests.cli.conftest import RunCommand
from tests.kit.servers import Servers


async def test_permanent_error_of_a_migration_is_reported_at_once(servers: Servers, run_command: RunCommand) -> None:
    """Nobody but the owner may create tables in a new database."""
    url = await servers.create_database("forbidden", is_empty=True)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP ROLE IF EXISTS reader"))
        await connection.execute(text("CREATE ROLE reader LOGIN"))
    await engine.dispose()
    started_at = monotonic()
    reader_url = servers.postgres.build_url("forbidden").replace("signalhub@", "reader@")
    done = await asyncio.to_thread(run_command, "migrate", database_url=reader_url)
    assert (done.returncode, "The database refuses: permission denied" in done.stderr) == (1, True), done.stderr
    assert monotonic() - started_at < 5


@pytest.mark.parametrize(
    ("user", "database", "says"),
    [("signalhub", "nowhere", 'database "nowhere" does not exist'), ("nobody", "signalhub", "nobody")],
)
async def test_missing_database_or_user_is_reported_at_once(
    servers: Servers, run_command: RunCommand, user: str, database: str, says: str
) -> None:
    url = servers.postgres.build_url(database).replace("signalhub@", f"{user}@")
    started_at = monotonic()
    done = await asyncio.to_thread(run_command, "migrate", database_url=url)
    assert (done.returncode, says in done.stderr) == (1, True), done.stderr
    assert monotonic() - started_at < 5


async def test_migrate_waits_for_a_database_that_is_away(tmp_path: Path, run_command: RunCommand) -> None:
    url = f"postgresql://signalhub@/signalhub?host={tmp_path}"
    done = await asyncio.to_thread(run_command, "migrate", "--wait", "1", database_url=url)
    assert (done.returncode, "The database cannot be reached" in done.stderr) == (1, True), done.stderr


async def test_epoch_is_renewed_while_the_installation_is_stopped(
    tmp_path: Path, run_in_subprocess: RunCommand
) -> None:
    """As after a data directory was copied back: what starts next has the new epoch."""
    server = Postgres(tmp_path / "data")
    server.start()
    before = await _get_epoch(server)
    server.stop()
    done = await asyncio.to_thread(run_in_subprocess, "epoch", "renew", data_dir=str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    server.start()
    after = await _get_epoch(server)
    server.stop()
    assert after != before
    assert done.stdout == f"The epoch is now {after}.\n"
    shutil.rmtree(tmp_path / "data")


async def _get_epoch(server: Postgres) -> str:
    engine = create_engine(server.url)
    await migrate.upgrade(engine)
    async with engine.begin() as connection:
        current = await epoch.get_or_create(connection)
    await engine.dispose()
    return current
