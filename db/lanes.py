"""Lanes: an account's orders are seen to by one worker at a time, so that they move in the order they fell due.

A lane is a share of all accounts, held by an advisory lock of the session. A worker that dies gives its lanes back, and
one that hangs loses them: the server ends a session that holds lanes and says nothing for too long.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

SHARD_COUNT: Final = 16
SHARD_OF_ACCOUNT_SQL: Final = f"(uuid_hash(orders.account_id) & {SHARD_COUNT - 1})"

# More in one turn would make larger batches of little work, and leave other workers nothing of much.
_MAX_SHARDS_PER_SWEEP: Final = 4
SHARD_LOCK_CLASS: Final = 0x516E414C

_LOCK_DUE_SHARDS = text(f"""
    SELECT lane, set_config('idle_session_timeout', :patience, false) FROM (
        SELECT DISTINCT {SHARD_OF_ACCOUNT_SQL} AS lane FROM (
            SELECT account_id FROM orders WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT 400
        ) AS orders
    ) AS due WHERE pg_try_advisory_lock({SHARD_LOCK_CLASS}, lane) LIMIT {_MAX_SHARDS_PER_SWEEP}
""")  # noqa: S608 - our own constants
_UNLOCK_SHARDS = text("SELECT pg_advisory_unlock_all(), set_config('idle_session_timeout', '0', false)")


@asynccontextmanager
async def acquire_shards(connection: AsyncConnection, idle_timeout_s: float) -> AsyncIterator[list[int]]:
    """Some lanes in which orders are due: none where nothing is due, or others hold all of those.

    `patience_s` is how long the connection may be silent meanwhile.
    """
    try:
        asked = await connection.execute(_LOCK_DUE_SHARDS, {"patience": str(int(idle_timeout_s * 1000))})
        lanes = [row.lane for row in asked]
        await connection.commit()
        yield lanes
        if lanes:
            await connection.execute(_UNLOCK_SHARDS)
            await connection.commit()
    except BaseException:
        # The pool would keep the connection, and the connection the lanes.
        await connection.invalidate()
        raise
