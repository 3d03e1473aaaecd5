"""PostgreSQL and Valkey, started once a run, with a new database for each installation.

PostgreSQL is the embedded one, or that of the system, and behind pgbouncer where one is named (see `system_postgres`).
"""

import itertools
import os
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet
from sqlalchemy import text

from db.engine import create_engine
from db.migrate import upgrade
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.valkey import Valkey
from signalhub.settings import Settings
from tests.kit.processes import find_free_port
from tests.kit.setting_changes import make_settings
from tests.kit.system_postgres import Pgbouncer, SystemPostgres

# The test database may be lost on a power failure, so no commit waits for a disk.
_POSTGRES_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}
_REDIS_DATABASE_COUNT = 64


class Servers:
    """The default database is migrated once and is the template of all others."""

    def __init__(self, directory: Path) -> None:
        self.postgres = create_postgres(directory)
        self._pgbouncer = _create_pgbouncer(directory, self.postgres)
        self.valkey = Valkey(directory, settings={"databases": str(_REDIS_DATABASE_COUNT), "appendonly": "no"})
        self._numbers = itertools.count(1)
        self._is_migrated = False

    def __enter__(self) -> Self:
        self.postgres.start()
        if self._pgbouncer is not None:
            self._pgbouncer.start()
        self.valkey.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.valkey.stop()
        if self._pgbouncer is not None:
            self._pgbouncer.stop()
        self.postgres.stop()

    async def create_settings(self, **changes: object) -> Settings:
        """Create settings with a new database, an unused Redis database, a free port and a new Fernet key."""
        number = next(self._numbers)
        defaults = {
            "database_url": await self.create_database(f"app{number}"),
            "redis_url": f"{self.valkey.url}?db={number % _REDIS_DATABASE_COUNT}",
            "encryption_keys": Fernet.generate_key().decode(),
            "port": find_free_port(),
            "log_format": "json",
        }
        return make_settings(**(defaults | changes))

    async def create_database(self, name: str, *, is_empty: bool = False) -> str:
        """Create a database, migrated or empty; return its URL."""
        await self._migrate_template()
        template = "template0" if is_empty else "signalhub"
        await self._execute_as_admin(f"CREATE DATABASE {name} TEMPLATE {template}")
        return (self._pgbouncer or self.postgres).build_url(name)

    async def _migrate_template(self) -> None:
        if self._is_migrated:
            return
        engine = create_engine(self.postgres.url)
        await upgrade(engine)
        await engine.dispose()
        self._is_migrated = True

    async def _execute_as_admin(self, statement: str) -> None:
        engine = create_engine(self.postgres.build_url("postgres"))
        async with engine.connect() as connection:
            await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text(statement))
        await engine.dispose()


def create_postgres(directory: Path) -> Postgres:
    """Return the PostgreSQL that the suite runs on; it is not started."""
    bin_dir = os.environ.get("TEST_POSTGRES_BIN")
    if bin_dir:
        return SystemPostgres(Path(bin_dir), settings=_POSTGRES_SETTINGS)
    return Postgres(directory, settings=_POSTGRES_SETTINGS)


def _create_pgbouncer(directory: Path, postgres: Postgres) -> Pgbouncer | None:
    executable = os.environ.get("TEST_PGBOUNCER")
    return Pgbouncer(directory, Path(executable), postgres) if executable else None
