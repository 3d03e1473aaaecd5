"""Reading the log."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

_AFTER = text("""
    SELECT seq, type, body FROM events
    WHERE account_id = CAST(:account AS uuid) AND seq > :after AND seq <= :until ORDER BY seq LIMIT :most
""")

# Bytes that are already running when a line begins: so there is always one line, however long it is.
_AFTER_IN_BYTES = text("""
    SELECT seq, type, body FROM (
        SELECT seq, type, body, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before FROM (
            SELECT seq, type, body FROM events
            WHERE account_id = CAST(:account AS uuid) AND seq > :after ORDER BY seq LIMIT :most
        ) AS page
    ) AS measured WHERE before < :bytes ORDER BY seq
""")

_AFTER_OF_TYPES = text("""
    SELECT seq, type, body FROM events
    WHERE account_id = CAST(:account AS uuid) AND seq > :after AND seq <= :until AND type = ANY(:types)
    ORDER BY seq LIMIT :most
""")

_HEADS = text("SELECT id::text, last_seq FROM accounts WHERE id = ANY(CAST(:ids AS uuid[]))")

_OLDEST = text("SELECT seq FROM events WHERE account_id = CAST(:account AS uuid) ORDER BY seq LIMIT 1")

_OF_SIGNAL = text("""
    SELECT seq, type, body FROM events WHERE signal_id = CAST(:signal AS uuid)
        AND account_id = CAST(:account AS uuid) ORDER BY seq
""")

_NO_END = 2**62


class Line(msgspec.Struct, frozen=True):
    seq: int
    type: str
    body: bytes


async def page(  # noqa: PLR0913 - a page has as many edges
    connection: AsyncConnection,
    account_id: str,
    after: int,
    *,
    most: int,
    until: int = _NO_END,
    types: Collection[str] | None = None,
) -> list[Line]:
    """Up to `most` events after `after`, oldest first, of `types` only if given."""
    asked = {"account": account_id, "after": after, "until": until, "most": most}
    if types is None:
        return _lines(await connection.execute(_AFTER, asked))
    return _lines(await connection.execute(_AFTER_OF_TYPES, asked | {"types": list(types)}))


async def stretch(
    connection: AsyncConnection, account_id: str, after: int, *, most: int, most_bytes: int
) -> list[Line]:
    """Events after `after`, oldest first: up to `most`, and no more once `most_bytes` are full."""
    asked = {"account": account_id, "after": after, "most": most, "bytes": most_bytes}
    return _lines(await connection.execute(_AFTER_IN_BYTES, asked))


async def oldest(connection: AsyncConnection, account_id: str) -> int | None:
    """The first `seq` that is kept."""
    seq: int | None = (await connection.execute(_OLDEST, {"account": account_id})).scalar_one_or_none()
    return seq


async def of_signal(connection: AsyncConnection, account_id: str, signal_id: str) -> list[Line]:
    """Every event of one signal and its order."""
    return _lines(await connection.execute(_OF_SIGNAL, {"account": account_id, "signal": signal_id}))


async def heads(connection: AsyncConnection, account_ids: Sequence[str]) -> dict[str, int]:
    """The last `seq` of each of these logs."""
    return {row.id: row.last_seq for row in await connection.execute(_HEADS, {"ids": list(account_ids)})}


def _lines(rows: Iterable[Row[Any]]) -> list[Line]:
    return [Line(row.seq, row.type, row.body.encode()) for row in rows]
