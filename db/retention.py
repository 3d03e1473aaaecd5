"""Delete events and raw signals that are older than the retention period, in small batches.

Orders stay, and so does the head of each log: numbering continues, and a subscriber that asks for deleted events gets a
gap. A log is pruned from its beginning only, or its subscribers would meet holes.
"""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from signalhub.domain.identifiers import uuid7

_MAX_ACCOUNTS_PER_BATCH = 50
_MAX_ROWS_PER_ACCOUNT = 200

# The database's time: a worker whose clock is a year ahead must not delete a year.
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('signalhub retention')) AS is_mine, now() AS now")

# By the age of an account's first event, so that an account with nothing to delete costs one index lookup.
_DELETE_EVENTS = text("""
    WITH old AS MATERIALIZED (
        SELECT accounts.id FROM accounts
        CROSS JOIN LATERAL (SELECT at FROM events WHERE account_id = accounts.id ORDER BY seq LIMIT 1) AS oldest
        WHERE oldest.at < :before LIMIT :logs
    ), cut AS MATERIALIZED (
        SELECT old.id, lines.upto FROM old CROSS JOIN LATERAL (
            SELECT coalesce(min(seq) FILTER (WHERE at >= :before) - 1, max(seq)) AS upto
            FROM (SELECT seq, at FROM events WHERE account_id = old.id ORDER BY seq LIMIT :lines) AS first
        ) AS lines
    )
    DELETE FROM events USING cut WHERE events.account_id = cut.id AND events.seq <= cut.upto
""")

# Ids begin with their time. The signal of an order that is still due is kept until the order has ended.
_DELETE_SIGNALS = text("""
    WITH old AS MATERIALIZED (
        SELECT signals.account_id, signals.id FROM accounts CROSS JOIN LATERAL (
            SELECT account_id, id FROM signals
            WHERE account_id = accounts.id AND id < CAST(:bound AS uuid)
                AND id NOT IN (SELECT signal_id FROM orders WHERE due_at IS NOT NULL)
            ORDER BY id LIMIT :lines
        ) AS signals LIMIT :lines * :logs
    )
    DELETE FROM signals USING old WHERE signals.account_id = old.account_id AND signals.id = old.id
""")


async def prune(connection: AsyncConnection, max_age: timedelta) -> int:
    """Delete a batch of older rows in the caller's transaction and return how many; 0 when none is left.

    One process prunes at a time: it returns 0 while another is at work.
    """
    lock = (await connection.execute(_TRY_LOCK)).one()
    if not lock.is_mine:
        return 0
    cutoff = lock.now - max_age
    cutoff_id = uuid7(int(cutoff.timestamp() * 1000), bytes(10))
    events = await connection.execute(
        _DELETE_EVENTS, {"before": cutoff, "logs": _MAX_ACCOUNTS_PER_BATCH, "lines": _MAX_ROWS_PER_ACCOUNT}
    )
    signals = await connection.execute(
        _DELETE_SIGNALS, {"bound": cutoff_id, "logs": _MAX_ACCOUNTS_PER_BATCH, "lines": _MAX_ROWS_PER_ACCOUNT}
    )
    return events.rowcount + signals.rowcount
