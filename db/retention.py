"""Forgetting what is older than an operator wants to keep: events, and the raw signals of orders that have ended.

Orders stay, and so does the head of each log: numbers go on where they were, and who asks for what is gone is told of
the gap. A log is shortened from its beginning only, or its subscribers would meet holes.
"""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from signalhub.domain.identifiers import uuid7

_MAX_ACCOUNTS_PER_BATCH = 50
_MAX_ROWS_PER_ACCOUNT = 200

# The time is the database's: a worker whose clock is a year ahead must not forget a year.
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('signalhub retention')) AS is_mine, now() AS now")

# By the age of an account's first event, so that accounts with nothing to forget cost one look at an index each.
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

# Ids begin with their time. What an order that is still due came from is kept until it has ended.
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
    """Delete some of what is older, in the caller's transaction; the answer is how many rows. 0: there is no more.

    One at a time in the whole installation: whoever comes while another is at it has nothing to do.
    """
    lock = (await connection.execute(_TRY_LOCK)).one()
    if not lock.is_mine:
        return 0
    before = lock.now - max_age
    bound = uuid7(int(before.timestamp() * 1000), bytes(10))
    events = await connection.execute(
        _DELETE_EVENTS, {"before": before, "logs": _MAX_ACCOUNTS_PER_BATCH, "lines": _MAX_ROWS_PER_ACCOUNT}
    )
    signals = await connection.execute(
        _DELETE_SIGNALS, {"bound": bound, "logs": _MAX_ACCOUNTS_PER_BATCH, "lines": _MAX_ROWS_PER_ACCOUNT}
    )
    return events.rowcount + signals.rowcount
