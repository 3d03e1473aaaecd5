"""The way to PostgreSQL.

A server can be silent as well as slow: a machine that hangs keeps every connection open and answers nothing, and no
limit that it enforces itself is worth anything then. So every wait has an end on this side too.
"""

import asyncpg  # type: ignore[import-untyped]  # it ships none
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# Every answer is owed within 2 seconds, so waiting longer for a connection helps nobody.
CONNECT_TIMEOUT_S = 1.5

_CLOSE_TIMEOUT_S = 0.2
_COMMAND_TIMEOUT_MARGIN_S = 1.0


class FastClosingConnection(asyncpg.Connection):  # type: ignore[misc]  # untyped, as above
    """A connection that is left quickly. SQLAlchemy gives a server that was given up 2 s to say goodbye."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        await super().close(timeout=_CLOSE_TIMEOUT_S if timeout is None else min(timeout, _CLOSE_TIMEOUT_S))


def create_engine(url: str, *, pool_size: int = 10, statement_timeout_s: float | None = 10.0) -> AsyncEngine:
    """`statement_timeout_s` ends a statement on the server: a client that has given up must not hold locks there.

    A server that does not do so is given up a second later. None is for migrations, which take what they take.
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
    """The same connections for what is one statement: BEGIN and COMMIT would be two more waits for the server."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")
