"""Migrations from an empty database, by several processes at once, to the schema that the tables declare."""

import asyncio
import gc

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from db import epoch, migrate
from db.engine import create_engine
from db.tables import AccountRow
from tests.kit.servers import Servers


async def _empty(servers: Servers, name: str) -> AsyncEngine:
    return create_engine(await servers.create_database(name, is_empty=True))


async def test_concurrent_processes_migrate_an_empty_database(servers: Servers) -> None:
    engine = await _empty(servers, "empty4")
    assert not await migrate.is_current(engine)
    others = [create_engine(servers.postgres.build_url("empty4")) for _ in range(4)]
    assert set(await asyncio.gather(*(migrate.upgrade(other) for other in others))) == {migrate.head_revision()}
    assert await migrate.is_current(engine)
    assert await migrate.upgrade(engine) == migrate.head_revision()
    for opened in (engine, *others):
        await opened.dispose()


async def test_schema_of_a_later_version_is_current(servers: Servers) -> None:
    """A process of the older version may still be started in the middle of a rolling upgrade."""
    engine = create_engine((await servers.create_settings()).database_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    assert await migrate.is_current(engine)
    await engine.dispose()


async def test_repeated_checks_keep_nothing(servers: Servers) -> None:
    """A readiness check asks every few seconds, as long as a web process runs."""
    engine = create_engine((await servers.create_settings()).database_url)
    assert await migrate.is_current(engine)
    gc.collect()
    tables = count_tables()
    for _ in range(20):
        await migrate.is_current(engine)
    gc.collect()
    assert count_tables() == tables
    await engine.dispose()


def count_tables() -> int:
    return sum(isinstance(held, Table) for held in gc.get_objects())


async def test_migrated_schema_matches_the_tables(servers: Servers) -> None:
    engine = create_engine((await servers.create_settings()).database_url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()
    assert differences == []


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, AccountRow.metadata))


async def test_migrations_can_be_reverted(servers: Servers) -> None:
    engine = await _empty(servers, "downgrade")
    await migrate.upgrade(engine)
    async with engine.connect() as connection:
        await connection.run_sync(_downgrade)
        await connection.commit()
        left = await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        assert {row[0] for row in left} <= {"alembic_version"}
    assert await migrate.upgrade(engine) == migrate.head_revision()
    await engine.dispose()


def _downgrade(connection: Connection) -> None:
    config = migrate.build_alembic_config()
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


async def test_concurrent_callers_get_the_same_epoch(servers: Servers) -> None:
    engine = create_engine((await servers.create_settings()).database_url)

    async def ask(*, renew: bool = False) -> str:
        async with engine.begin() as connection:
            return await epoch.get_or_create(connection, renew=renew)

    first = set(await asyncio.gather(*(ask() for _ in range(8))))
    assert len(first) == 1
    assert await ask() in first
    renewed = await ask(renew=True)
    assert renewed not in first
    assert await ask() == renewed
    await engine.dispose()


@pytest.mark.parametrize("column", ["system_identifier", "timeline"])
async def test_changed_cluster_identity_renews_epoch(servers: Servers, column: str) -> None:
    """As after a dump restored into another cluster, or a standby that was promoted."""
    engine = create_engine((await servers.create_settings()).database_url)
    async with engine.begin() as connection:
        before = await epoch.get_or_create(connection)
        await connection.execute(text(f"UPDATE installation SET {column} = {column} - 1"))  # noqa: S608 - two names above
        assert await epoch.get_or_create(connection) != before
    await engine.dispose()
