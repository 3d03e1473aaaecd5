"""A streaming standby of a PostgreSQL, to be promoted."""

import subprocess
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.engine import autocommit, create_engine
from signalhub.embedded.child_processes import SERVER_ENVIRONMENT
from signalhub.embedded.postgres import CLUSTER_DIRECTORY, USER, Postgres
from tests.kit.polling import wait_until


class Standby:
    """`server` replays what `primary` writes until `disconnect`, and becomes a primary by `promote`."""

    def __init__(self, primary: Postgres, data_dir: Path) -> None:
        self._primary = primary
        self.server = Postgres(data_dir)

    @property
    def url(self) -> str:
        """Return the URL of whichever of the two is the primary."""
        hosts = f"{self._primary.paths.socket_dir},{self.server.paths.socket_dir}"
        return f"postgresql://{USER}@/signalhub?host={hosts}&target_session_attrs=primary"

    async def start(self) -> None:
        directory = self.server.paths.server_dir
        directory.parent.mkdir(parents=True)
        self.server.user.make_directory(directory)
        backup = (
            "-D",
            CLUSTER_DIRECTORY,
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
            "--username",
            USER,
        )
        subprocess.run(  # noqa: ASYNC221, S603 - nothing else runs meanwhile; our own
            [self._primary.bin_dir / "pg_basebackup", "--host", self._primary.paths.socket_dir, *backup],
            cwd=directory,
            env=SERVER_ENVIRONMENT,
            check=True,
            capture_output=True,
            **self.server.user.popen_options(),
        )
        self.server.launch()  # it is never ready in the sense of `start`: it accepts reads only
        await wait_until(self._can_connect)

    async def disconnect(self) -> None:
        """Receive no more from the primary, which goes on."""
        await self._execute("ALTER SYSTEM SET primary_conninfo = ''")
        await self._execute("SELECT pg_reload_conf()")
        await wait_until(lambda: self._execute("SELECT count(*) = 0 FROM pg_stat_wal_receiver"))

    async def promote(self) -> None:
        await self._execute("SELECT pg_promote()")

    async def _can_connect(self) -> bool:
        try:
            return await self._execute("SELECT 1") == 1
        except (DBAPIError, OSError):
            return False

    async def _execute(self, statement: str) -> object:
        """Run a statement on the standby; return the first value, if there is one."""
        engine = create_engine(self.server.url)
        try:
            async with autocommit(engine).connect() as connection:
                result = await connection.execute(text(statement))
                return result.scalar() if result.returns_rows else None
        finally:
            await engine.dispose()
