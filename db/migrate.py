"""Bring the schema up to date, one process at a time.

Several processes that start together all call this; four simultaneous upgrades without the lock failed in three rounds
of three.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

# Any number will do, as long as nothing else in this database locks it.
_LOCK_MIGRATIONS = text("SELECT pg_advisory_xact_lock(5_167_402_231)")


def build_alembic_config() -> Config:
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return found


async def upgrade(engine: AsyncEngine) -> str:
    """Apply what is missing, in one transaction; the answer is the revision reached."""
    async with engine.connect() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(_LOCK_MIGRATIONS)
        await connection.run_sync(_run_upgrade)
        await connection.commit()
    return head_revision()


async def is_current(engine: AsyncEngine) -> bool:
    """Whether the database has every migration this code knows."""
    async with engine.connect() as connection:
        return await connection.run_sync(_get_revision) == head_revision()


def head_revision() -> str:
    return ScriptDirectory.from_config(build_alembic_config()).get_current_head() or ""


def _run_upgrade(connection: Connection) -> None:
    ready = build_alembic_config()
    ready.attributes["connection"] = connection
    command.upgrade(ready, "head")


def _get_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
