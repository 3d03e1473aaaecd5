"""What keys and hooks share: rows of an account, each change of which is an event in its log."""

import os
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from db import journal
from db.tables import ApiKeyRow, HookRow
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import Event, NewEvent

Row = TypeVar("Row", ApiKeyRow, HookRow)


async def lock_owned_row(session: AsyncSession, model: type[Row], account_id: str, id_: str) -> Row:
    """The account's row, locked. Raises `not_found`, also for another account's."""
    row = await session.get(model, id_, with_for_update=True)
    if row is None or row.account_id != account_id:
        raise SignalHubError("not_found", "There is no such credential.")
    return row


async def revoke_credential(
    session: AsyncSession, model: type[Row], account_id: str, id_: str, event_type: str
) -> list[Event]:
    """Revoking twice is the same as once, and is logged once."""
    row = await lock_owned_row(session, model, account_id, id_)
    if row.revoked_at is not None:
        return []
    row.revoked_at = datetime.now(UTC)
    return await append_account_event(session, account_id, event_type, {"id": id_, "label": row.label})


async def append_account_event(
    session: AsyncSession, account_id: str, event_type: str, data: dict[str, str]
) -> list[Event]:
    """Append one event in the session's transaction."""
    await session.flush()
    connection = await session.connection()
    heads = await journal.lock_heads(connection, {account_id})
    fact = NewEvent(type=event_type, account_id=account_id, data=data, trace_id=os.urandom(16).hex())
    return await journal.append_events(connection, heads, [fact])
