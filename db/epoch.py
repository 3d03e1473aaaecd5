"""The epoch: the incarnation of the event log.

A cursor is a number in a log; after a restore from backup the same number may name another event. The epoch tells the
two apart. It changes when the database is in another cluster (a dump restored elsewhere) or on another timeline (a
standby promoted, a point-in-time recovery). A data directory copied back in place looks the same from inside: after
that, run `signalhub epoch renew`.
"""

import hashlib
import secrets

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The timeline that is written now, from the name of its WAL file. `pg_control_checkpoint` gives that of the last
# checkpoint, which comes minutes after a promotion. A standby writes no WAL and has no timeline of its own.
_TIMELINE_SQL = """
    SELECT CASE WHEN NOT pg_is_in_recovery()
        THEN CAST(CAST('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS bit(32)) AS integer)
    END AS timeline
"""

_SELECT_CLUSTER_IDENTITY = text(f"""
    SELECT system_identifier, timeline FROM pg_control_system(), ({_TIMELINE_SQL}) AS current
""")  # noqa: S608 - our own text

_UPSERT_EPOCH = text("""
    INSERT INTO installation (id, epoch, system_identifier, timeline) VALUES (1, :epoch, :system, :timeline)
    ON CONFLICT (id) DO UPDATE
    SET epoch = excluded.epoch, system_identifier = excluded.system_identifier, timeline = excluded.timeline
    WHERE :renew OR (installation.system_identifier, installation.timeline)
        IS DISTINCT FROM (excluded.system_identifier, excluded.timeline)
""")


_SELECT_CURRENT_EPOCH = text(f"""
    SELECT epoch FROM installation, pg_control_system() AS system, ({_TIMELINE_SQL}) AS current
    WHERE installation.system_identifier = system.system_identifier
        AND installation.timeline = coalesce(current.timeline, installation.timeline)
""")  # noqa: S608 - the same

_SELECT_DATABASE_IDENTITY = text("""
    SELECT system_identifier, database.oid::bigint AS database_id
    FROM pg_control_system(), pg_database AS database WHERE database.datname = current_database()
""")


async def get_installation_id(connection: AsyncConnection) -> str:
    """Return an id of this database: the same from each connection, and after a promotion.

    Another database has another id, also one that was restored from a dump of this one or created from it as a
    template. Only a physical copy (of the data directory) has the same.
    """
    identity = (await connection.execute(_SELECT_DATABASE_IDENTITY)).one()
    return hashlib.sha256(f"{identity.system_identifier}/{identity.database_id}".encode()).hexdigest()[:12]


async def get_current(connection: AsyncConnection) -> str | None:
    """Return the epoch, None if it belongs to another incarnation or does not exist. Writes nothing."""
    epoch: str | None = (await connection.execute(_SELECT_CURRENT_EPOCH)).scalar_one_or_none()
    return epoch


async def get_or_create(connection: AsyncConnection, *, renew: bool = False) -> str:
    """Return the epoch, a new one if there is none or it belongs to another incarnation. Safe to call concurrently."""
    identity = (await connection.execute(_SELECT_CLUSTER_IDENTITY)).one()
    parameters = {
        "epoch": secrets.token_hex(4),
        "system": identity.system_identifier,
        "timeline": identity.timeline,
        "renew": renew,
    }
    await connection.execute(_UPSERT_EPOCH, parameters)
    epoch: str = (await connection.execute(text("SELECT epoch FROM installation"))).scalar_one()
    return epoch
