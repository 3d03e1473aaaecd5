"""Delete events and raw signals that are older than the retention period, in small batches.

Orders stay, and so does the head of each log: numbering continues, and a subscriber that asks for deleted events gets a
gap. A log is pruned from its beginning only, so it has no gap in the middle.

Separate because it spans the tables of `event_log` and `signals`.
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
        WHERE oldest.at < :cutoff LIMIT :max_accounts
    ), expired AS MATERIALIZED (
        SELECT old.id, page.last_seq FROM old CROSS JOIN LATERAL (
            SELECT coalesce(min(seq) FILTER (WHERE at >= :cutoff) - 1, max(seq)) AS last_seq
            FROM (SELECT seq, at FROM events WHERE account_id = old.id ORDER BY seq LIMIT :max_rows) AS first
        ) AS page
    )
    DELETE FROM events USING expired WHERE events.account_id = expired.id AND events.seq <= expired.last_seq
""")

# Ids begin with their time. The signal of an order that is still due is kept until the order has ended.
_DELETE_SIGNALS = text("""
    WITH old AS MATERIALIZED (
        SELECT signals.account_id, signals.id FROM accounts CROSS JOIN LATERAL (
            SELECT account_id, id FROM signals
            WHERE account_id = accounts.id AND id < CAST(:cutoff_id AS uuid)
                AND id NOT IN (SELECT signal_id FROM orders WHERE due_at IS NOT NULL)
            ORDER BY id LIMIT :max_rows
        ) AS signals LIMIT :max_rows * :max_accounts
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
    limits = {"max_accounts": _MAX_ACCOUNTS_PER_BATCH, "max_rows": _MAX_ROWS_PER_ACCOUNT}
    events = await connection.execute(_DELETE_EVENTS, {"cutoff": cutoff, **limits})
    signals = await connection.execute(_DELETE_SIGNALS, {"cutoff_id": cutoff_id, **limits})
    return events.rowcount + signals.rowcount
