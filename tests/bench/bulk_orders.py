"""Insert many orders by one statement and wait until they are closed."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from db import bulk, orders
from signalhub.domain.order import Executed, apply
from tests.kit.order_factory import make_order

ACCOUNT_COUNT: Final = 100

_INSERT_ACCOUNTS: Final = text("""
    INSERT INTO accounts (id, username)
    SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'bench' || n FROM generate_series(0, :count - 1) AS n
    ON CONFLICT DO NOTHING
""")

_DUE_IN_S_SQL: Final = "CAST(:due_in_s AS float8) + CAST(:spread_s AS float8) * n / :count"

# Every order is a copy of the first. These columns differ.
_COPIED_COLUMN_SQL: Final = {
    "id": "gen_random_uuid()",
    "signal_id": "gen_random_uuid()",
    "account_id": f"CAST(lpad(to_hex(n % {ACCOUNT_COUNT}), 32, '0') AS uuid)",
    "due_at": f"statement_timestamp() + make_interval(secs => {_DUE_IN_S_SQL})",
    # Long ago, so that the broker's waits are over when the order is due.
    "created_at": "statement_timestamp() - interval '1 hour'",
    "filled_at": f"statement_timestamp() + make_interval(secs => {_DUE_IN_S_SQL} - CAST(:held_s AS float8))",
}


async def insert_orders(
    engine: AsyncEngine, count: int, *, due_in_s: float, spread_s: float = 0.0, held_s: float | None = None
) -> None:
    """Insert `count` orders due from `due_in_s` to `spread_s` later; with `held_s`, filled that long before."""
    now = datetime.now(UTC)
    first = make_order(profile="instant" if held_s is None else "market", created_at=now, updated_at=now)
    waits = {"due_in_s": due_in_s, "spread_s": spread_s, "held_s": held_s or 0.0, "count": count}
    async with engine.begin() as connection:
        await connection.execute(_INSERT_ACCOUNTS, {"count": ACCOUNT_COUNT})
        await bulk.execute(connection, [orders.insert([(first, None)], now)])
        if held_s is not None:
            filled = apply(first, Executed(first.terms.entry or first.terms.stop_loss, "bench"), now)
            filled = replace(filled, version=1)
            await bulk.execute(connection, [orders.save({first.id: (filled, None)}, {first.id: 1})])
        await connection.execute(_build_copy_statement(is_filled=held_s is not None), waits | {"first": first.id})
        await connection.execute(text("DELETE FROM orders WHERE id = CAST(:id AS uuid)"), {"id": first.id})


def _build_copy_statement(*, is_filled: bool) -> TextClause:
    copied = (
        _COPIED_COLUMN_SQL
        if is_filled
        else {name: value for name, value in _COPIED_COLUMN_SQL.items() if name != "filled_at"}
    )
    names = [column.name for column in orders.TABLE.columns]
    values = ", ".join(copied.get(name, name) for name in names)
    return text(f"""
        INSERT INTO orders ({", ".join(names)}) SELECT {values}
        FROM orders, generate_series(0, :count - 1) AS n WHERE id = CAST(:first AS uuid)
    """)  # noqa: S608 - names of our own columns


async def vacuum_and_checkpoint(engine: AsyncEngine) -> None:
    """Refresh the statistics and leave nothing for background processes to write."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM ANALYZE orders"))
        await connection.execute(text("CHECKPOINT"))


async def truncate_orders(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE orders, events"))


async def wait_until_closed(engine: AsyncEngine, count: int, *, timeout_s: float = 120.0) -> float:
    """Return the seconds until `count` orders are closed."""
    began = time.perf_counter()
    while True:
        async with engine.connect() as connection:
            # The index on due_at answers at once while many are left, so count only when none is.
            busy = text("SELECT 1 FROM orders WHERE due_at < statement_timestamp() + interval '10 minutes' LIMIT 1")
            if (await connection.execute(busy)).first() is None:
                closed = text("SELECT count(*) FROM orders WHERE status = 'closed'")
                if (await connection.execute(closed)).scalar_one() >= count:
                    return time.perf_counter() - began
        if time.perf_counter() - began > timeout_s:
            raise TimeoutError(f"not all of {count} orders ended within {timeout_s} s")
        await asyncio.sleep(0.1)  # polling competes with the work it waits for
