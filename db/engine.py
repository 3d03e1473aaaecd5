"""The way to PostgreSQL."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# Every answer is owed within 2 seconds, so waiting longer for a connection helps nobody.
CONNECT_TIMEOUT_S = 1.5


def create_engine(url: str, *, pool_size: int = 10, statement_timeout_s: float = 10.0) -> AsyncEngine:
    """`statement_timeout_s` ends a statement on the server: a client that has given up must not hold locks there."""
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_use_lifo=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "server_settings": {
                "application_name": "signalhub",
                "statement_timeout": str(int(statement_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": "30000",
                "jit": "off",  # short statements only: compiling one costs more than running it
            },
        },
    )
