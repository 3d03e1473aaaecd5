"""Bring the schema up to date, one process at a time.

Processes that start together all call this: without the lock, four concurrent upgrades failed in each of three tries.
"""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

# Any number will do, as long as nothing else in this database locks it.
_LOCK_MIGRATIONS = text("SELECT pg_advisory_xact_lock(5167402231)")

_HAS_REVISION = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_SELECT_REVISION = text("SELECT version_num FROM alembic_version")


def build_alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


async def upgrade(engine: AsyncEngine) -> str:
    """Apply the missing migrations in one transaction and return the revision reached."""
    async with engine.connect() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(_LOCK_MIGRATIONS)
        await connection.run_sync(_run_upgrade)
        await connection.commit()
    return head_revision()


async def is_current(engine: AsyncEngine) -> bool:
    """Return whether the database has every migration that this code knows.

    A revision that it does not know is a later one: during a rolling upgrade the schema is ahead of older processes.
    """
    revision = await get_revision(engine)
    return revision is not None and revision not in _list_revisions() - {head_revision()}


async def get_revision(engine: AsyncEngine) -> str | None:
    """Return the revision of the database, None where it has no schema yet.

    Not by Alembic's MigrationContext: the table that it makes for each query stays in SQLAlchemy's cache of compiled
    statements, and a readiness check every few seconds let a web process grow by 15 MB.
    """
    async with engine.connect() as connection:
        if not (await connection.execute(_HAS_REVISION)).scalar_one():
            return None
        revision: str | None = (await connection.execute(_SELECT_REVISION)).scalar_one_or_none()
        return revision


def is_known(revision: str) -> bool:
    """Return whether this code has the migration. One that it does not have belongs to a later version."""
    return revision in _list_revisions()


@cache
def head_revision() -> str:
    return ScriptDirectory.from_config(build_alembic_config()).get_current_head() or ""


@cache
def _list_revisions() -> frozenset[str]:
    scripts = ScriptDirectory.from_config(build_alembic_config())
    return frozenset(script.revision for script in scripts.walk_revisions())


def _run_upgrade(connection: Connection) -> None:
    config = build_alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
