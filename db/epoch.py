"""Which incarnation of the log this is.

A cursor is a number in a log; after a restore from backup the same number may name another event. The epoch tells the
two apart. It is made anew when the database finds itself in another cluster (a dump restored elsewhere) or on another
timeline (a standby promoted, a point-in-time recovery). A data directory copied back in place looks the same from
inside: there `signalhub epoch renew` says it.
"""

import secrets

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SELECT_CLUSTER_IDENTITY = text("""
    SELECT system_identifier, timeline_id AS timeline FROM pg_control_system(), pg_control_checkpoint()
""")

_UPSERT_EPOCH = text("""
    INSERT INTO installation (id, epoch, system_identifier, timeline) VALUES (1, :epoch, :system, :timeline)
    ON CONFLICT (id) DO UPDATE
    SET epoch = excluded.epoch, system_identifier = excluded.system_identifier, timeline = excluded.timeline
    WHERE :renew OR (installation.system_identifier, installation.timeline)
        IS DISTINCT FROM (excluded.system_identifier, excluded.timeline)
""")


_SELECT_CURRENT_EPOCH = text("""
    SELECT epoch FROM installation, pg_control_system() AS system, pg_control_checkpoint() AS checkpoint
    WHERE installation.system_identifier = system.system_identifier AND installation.timeline = checkpoint.timeline_id
""")


async def get_current(connection: AsyncConnection) -> str | None:
    """The epoch, if this is still the incarnation that it was made for: a question that writes nothing."""
    epoch: str | None = (await connection.execute(_SELECT_CURRENT_EPOCH)).scalar_one_or_none()
    return epoch


async def get_or_create(connection: AsyncConnection, *, renew: bool = False) -> str:
    """The epoch, made if there is none or it is another incarnation's. Safe to ask from many processes at once."""
    identity = (await connection.execute(_SELECT_CLUSTER_IDENTITY)).one()
    fresh = {
        "epoch": secrets.token_hex(4),
        "system": identity.system_identifier,
        "timeline": identity.timeline,
        "renew": renew,
    }
    await connection.execute(_UPSERT_EPOCH, fresh)
    epoch: str = (await connection.execute(text("SELECT epoch FROM installation"))).scalar_one()
    return epoch
