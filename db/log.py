"""Reading the log."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

_SELECT_PAGE = text("""
    SELECT seq, type, body FROM events
    WHERE account_id = CAST(:account AS uuid) AND seq > :after AND seq <= :until ORDER BY seq LIMIT :most
""")

# Bytes that are already running when a line begins: so there is always one line, however long it is.
_SELECT_PAGE_BY_BYTES = text("""
    SELECT seq, type, body FROM (
        SELECT seq, type, body, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before FROM (
            SELECT seq, type, body FROM events
            WHERE account_id = CAST(:account AS uuid) AND seq > :after ORDER BY seq LIMIT :most
        ) AS page
    ) AS measured WHERE before < :bytes ORDER BY seq
""")

_SELECT_PAGE_BY_TYPES = text("""
    SELECT seq, type, body FROM events
    WHERE account_id = CAST(:account AS uuid) AND seq > :after AND seq <= :until AND type = ANY(:types)
    ORDER BY seq LIMIT :most
""")

_SELECT_HEADS = text("SELECT id::text, last_seq FROM accounts WHERE id = ANY(CAST(:ids AS uuid[]))")

_SELECT_OLDEST_SEQ = text("SELECT seq FROM events WHERE account_id = CAST(:account AS uuid) ORDER BY seq LIMIT 1")

_SELECT_BY_SIGNAL = text("""
    SELECT seq, type, body FROM events WHERE signal_id = CAST(:signal AS uuid)
        AND account_id = CAST(:account AS uuid) ORDER BY seq
""")

_MAX_SEQ = 2**62


class StoredEvent(msgspec.Struct, frozen=True):
    seq: int
    type: str
    body: bytes


async def page(  # noqa: PLR0913 - a page has as many edges
    connection: AsyncConnection,
    account_id: str,
    after_seq: int,
    *,
    max_events: int,
    until_seq: int = _MAX_SEQ,
    types: Collection[str] | None = None,
) -> list[StoredEvent]:
    """Up to `most` events after `after`, oldest first, of `types` only if given."""
    asked = {"account": account_id, "after": after_seq, "until": until_seq, "most": max_events}
    if types is None:
        return _to_stored_events(await connection.execute(_SELECT_PAGE, asked))
    return _to_stored_events(await connection.execute(_SELECT_PAGE_BY_TYPES, asked | {"types": list(types)}))


async def page_by_bytes(
    connection: AsyncConnection, account_id: str, after_seq: int, *, max_events: int, max_bytes: int
) -> list[StoredEvent]:
    """Events after `after`, oldest first: up to `most`, and no more once `most_bytes` are full."""
    asked = {"account": account_id, "after": after_seq, "most": max_events, "bytes": max_bytes}
    return _to_stored_events(await connection.execute(_SELECT_PAGE_BY_BYTES, asked))


async def get_oldest_seq(connection: AsyncConnection, account_id: str) -> int | None:
    """The first `seq` that is kept."""
    seq: int | None = (await connection.execute(_SELECT_OLDEST_SEQ, {"account": account_id})).scalar_one_or_none()
    return seq


async def list_by_signal(connection: AsyncConnection, account_id: str, signal_id: str) -> list[StoredEvent]:
    """Every event of one signal and its order."""
    return _to_stored_events(await connection.execute(_SELECT_BY_SIGNAL, {"account": account_id, "signal": signal_id}))


async def get_heads(connection: AsyncConnection, account_ids: Sequence[str]) -> dict[str, int]:
    """The last `seq` of each of these logs."""
    return {row.id: row.last_seq for row in await connection.execute(_SELECT_HEADS, {"ids": list(account_ids)})}


def _to_stored_events(rows: Iterable[Row[Any]]) -> list[StoredEvent]:
    return [StoredEvent(row.seq, row.type, row.body.encode()) for row in rows]
