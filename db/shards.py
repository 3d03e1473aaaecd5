"""Shards: the parts of the accounts that sweeps work on, each by one worker at a time.

A sweep leases shards for the length of one batch: a row with its holder and its end by the database's clock. A lease
rests on no session, so it works through a transaction pooler, and a worker that dies or hangs keeps a shard only until
the lease ends.
"""

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

SHARD_COUNT: Final = 16
SHARD_OF_ACCOUNT_SQL: Final = f"(uuid_hash(orders.account_id) & {SHARD_COUNT - 1})"

# With more, one sweep would take what other workers could do at the same time, and gain little from larger batches.
_MAX_SHARDS_PER_SWEEP: Final = 4

LEASE_S: Final = 2.0
"""Ten times what a batch takes. A worker that dies or hangs delays the accounts of its shards by this at the most."""

# A lease that ends later than a new one could was made before the clock was set back, and would last as long as that.
# The clock is read for each row and not once a statement: a concurrent sweep that began later may have committed its
# lease meanwhile, and by the start of this statement that would look like a lease from the future.
# The server may lose a lease in a crash, as a claim: then nobody holds the shard, so the commit need not wait.
_LEASE_DUE_SHARDS = text(f"""
    UPDATE shards SET holder = :holder, leased_until = statement_timestamp() + make_interval(secs => :lease_s)
    FROM (
        SELECT shards.id FROM shards JOIN (
            SELECT DISTINCT {SHARD_OF_ACCOUNT_SQL} AS id FROM (
                SELECT account_id FROM orders WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT 400
            ) AS orders
        ) AS due ON due.id = shards.id
        WHERE leased_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => :lease_s)
        LIMIT {_MAX_SHARDS_PER_SWEEP} FOR UPDATE OF shards SKIP LOCKED
    ) AS free, (SELECT set_config('synchronous_commit', 'off', true)) AS asynchronous
    WHERE shards.id = free.id
    RETURNING shards.id
""")  # noqa: S608 - our own constants

_RELEASE = text("""
    UPDATE shards SET leased_until = '-infinity'
    FROM (SELECT set_config('synchronous_commit', 'off', true)) AS asynchronous
    WHERE id = ANY(:shards) AND holder = :holder
""")


class ShardLease(msgspec.Struct, frozen=True):
    """Shards that this sweep holds. Empty: nothing is due, or other workers hold all of those shards."""

    shards: Sequence[int]
    holder: str


async def lease_due(connection: AsyncConnection, lease_s: float = LEASE_S) -> ShardLease:
    """Lease some shards with due orders, in the caller's transaction. All workers must lease for equally long."""
    holder = secrets.token_hex(8)
    rows = await connection.execute(_LEASE_DUE_SHARDS, {"holder": holder, "lease_s": lease_s})
    return ShardLease([row.id for row in rows], holder)


async def release(connection: AsyncConnection, lease: ShardLease) -> None:
    """End the lease with the caller's transaction. Shards that another worker has taken over stay with it."""
    await connection.execute(_RELEASE, {"shards": lease.shards, "holder": lease.holder})
