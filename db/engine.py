"""The connection pool to PostgreSQL, directly or through a transaction pooler such as pgbouncer.

A machine that hangs keeps its connections open and enforces none of its own limits, so every wait has a limit on the
client as well.

A pooler gives each transaction any of its sessions, so nothing may rest on a session: no named prepared statement, no
session lock, no `SET`. It refuses or ignores start-up parameters, so behind one each transaction sets its limits.
"""

from collections.abc import Callable
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it ships none
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from signalhub.server_urls import build_database_dsn

# Every request is answered within 2 seconds, so waiting longer for a connection helps nobody.
CONNECT_TIMEOUT_S = 1.5

_CLOSE_TIMEOUT_S = 0.2
_COMMAND_TIMEOUT_MARGIN_S = 1.0

# Connection failures, too few resources, a server that starts, stops or recovers, an error of its system, a deadlock, a
# lock that is not free, a standby before its promotion.
_TRANSIENT_SQLSTATES: Final = ("08", "53", "57", "58", "40", "55P03", "25006")


class FastClosingConnection(asyncpg.Connection):  # type: ignore[misc]  # untyped, as above
    """A connection that closes quickly. SQLAlchemy would wait 2 s for a server that does not answer any more."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        await super().close(timeout=_CLOSE_TIMEOUT_S if timeout is None else min(timeout, _CLOSE_TIMEOUT_S))


async def is_pooled(connection: Any) -> bool:  # noqa: ANN401 - an asyncpg connection, untyped as above
    """Return whether a pooler is in between: another process than that of the login runs the statements."""
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return bool(pid != connection.get_server_pid())


class _Connector:
    """Opens connections of one engine. The first one finds out whether a pooler is in between."""

    def __init__(self, url: str, statement_timeout_s: float | None) -> None:
        limit_s = statement_timeout_s
        self._options: dict[str, Any] = {
            "dsn": build_database_dsn(url),
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": None if limit_s is None else limit_s + _COMMAND_TIMEOUT_MARGIN_S,
            "connection_class": FastClosingConnection,
        }
        self._limits = {
            "statement_timeout": str(int((limit_s or 0) * 1000)),
            "idle_in_transaction_session_timeout": "30000",
            "jit": "off",  # short statements only: compiling one costs more than running it
        }
        arguments = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in self._limits.items())
        self._set_limits = text(f"SELECT {arguments}")
        self._has_pooler: bool | None = None
        self.on_pooler: Callable[[], None] = lambda: None

    async def connect(self) -> Any:  # noqa: ANN401 - an asyncpg connection, untyped as above
        if self._has_pooler is None:
            self._has_pooler = await self._detect_pooler()
            if self._has_pooler:
                self.on_pooler()
        if self._has_pooler:
            return await self._connect_to_pooler()
        return await asyncpg.connect(**self._options, server_settings={"application_name": "signalhub", **self._limits})

    def set_limits(self, connection: Connection) -> None:
        """Begin a transaction behind a pooler. A single statement without one has the client's limit only."""
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.execute(self._set_limits)

    async def _detect_pooler(self) -> bool:
        connection = await self._connect_to_pooler()
        try:
            return await is_pooled(connection)
        finally:
            await connection.close()

    async def _connect_to_pooler(self) -> Any:  # noqa: ANN401 - the same
        # Without a cache asyncpg names no statement, and sends each again along with its values.
        return await asyncpg.connect(**self._options, statement_cache_size=0)


def create_engine(url: str, *, pool_size: int = 10, statement_timeout_s: float | None = 10.0) -> AsyncEngine:
    """Return an engine whose statements end after `statement_timeout_s` on the server.

    Without that limit the statement of a client that has gone would keep its locks. The client itself gives up a second
    later. None is for migrations, which have no limit. Raises UrlError.
    """
    connector = _Connector(url, statement_timeout_s)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connector.connect,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_use_lifo=True,
    )
    connector.on_pooler = lambda: event.listen(engine.sync_engine, "begin", connector.set_limits)
    return engine


def autocommit(engine: AsyncEngine) -> AsyncEngine:
    """Return the same pool for single statements, which BEGIN and COMMIT would make wait for two more round trips."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


_MAX_IDLE_WITH_LOCKS_S: Final = 1.0
"""Half of the time in which a sender gets an answer, and far more than a running process needs between statements."""

_LOCK_NOT_AVAILABLE: Final = "55P03"


def build_limits_sql(lock_timeout_s: float) -> str:
    """Return a subquery `limits` for the statement that takes a transaction's locks.

    It limits how long the statements of the transaction wait for a lock, and how long the transaction may be idle: the
    server ends that of a process which hangs, so its locks stop nobody. Part of the statement, it costs no round trip,
    and it holds in a session of a pooler, too.
    """
    limits = {"lock_timeout": lock_timeout_s, "idle_in_transaction_session_timeout": _MAX_IDLE_WITH_LOCKS_S}
    settings = ", ".join(f"set_config('{name}', '{int(seconds * 1000)}', true)" for name, seconds in limits.items())
    return f"(SELECT {settings}) AS limits"


def is_lock_timeout(error: DBAPIError) -> bool:
    """Return whether a statement failed because a lock was not free in time."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def is_transient(error: Exception) -> bool:
    """Return whether the database may answer the same later: it cannot be reached, starts, or is too busy.

    False for what only an operator can change: a password, a permission, a missing table, a statement that is wrong.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError | TimeoutError)
    cause = error.orig.__cause__ if error.orig is not None else None
    if isinstance(cause, ValueError):  # asyncpg's error for options that contradict each other
        return False
    sqlstate = getattr(error.orig, "sqlstate", None)
    return sqlstate is None or sqlstate.startswith(_TRANSIENT_SQLSTATES)
