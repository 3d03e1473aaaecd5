"""The connection pool to PostgreSQL.

A machine that hangs keeps its connections open and enforces none of its own limits, so every wait has a limit on the
client as well.
"""

from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it ships none
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# Every request is answered within 2 seconds, so waiting longer for a connection helps nobody.
CONNECT_TIMEOUT_S = 1.5

_CLOSE_TIMEOUT_S = 0.2
_COMMAND_TIMEOUT_MARGIN_S = 1.0


class FastClosingConnection(asyncpg.Connection):  # type: ignore[misc]  # untyped, as above
    """A connection that closes quickly. SQLAlchemy would wait 2 s for a server that does not answer any more."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        await super().close(timeout=_CLOSE_TIMEOUT_S if timeout is None else min(timeout, _CLOSE_TIMEOUT_S))


def create_engine(url: str, *, pool_size: int = 10, statement_timeout_s: float | None = 10.0) -> AsyncEngine:
    """Return an engine whose statements end after `statement_timeout_s` on the server.

    Without that limit the statement of a client that has gone would keep its locks. The client itself gives up a second
    later. None is for migrations, which have no limit.
    """
    limit_s = statement_timeout_s
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_use_lifo=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": None if limit_s is None else limit_s + _COMMAND_TIMEOUT_MARGIN_S,
            "connection_class": FastClosingConnection,
            "server_settings": {
                "application_name": "signalhub",
                "statement_timeout": str(int((limit_s or 0) * 1000)),
                "idle_in_transaction_session_timeout": "30000",
                "jit": "off",  # short statements only: compiling one costs more than running it
            },
        },
    )


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
