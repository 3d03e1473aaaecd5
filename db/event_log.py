"""Reading the log.

The one place where the log grows.

The order of steps is the promise: lock the heads, give the facts their places, write them, move the heads - all in the
caller's transaction. Because the lock is held until commit, `seq` has no gap and commit order is `seq` order; a serial
column gives neither.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from db import bulk
from db.tables import EventRow
from signalhub.domain.events import Event, Head, NewEvent, append_event

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


_EVENTS_TABLE = bulk.get_table(EventRow)

# In id order, or two batches with the same accounts could each wait for the other.
_LOCK_HEADS_TEMPLATE = """
    SELECT accounts.id::text, last_seq, last_hash, clock_timestamp() AS now {also} FROM accounts
    WHERE id = ANY(CAST(:ids AS uuid[])) {provided} ORDER BY accounts.id FOR NO KEY UPDATE
"""
_LOCK_HEADS = text(_LOCK_HEADS_TEMPLATE.format(also="", provided=""))

_UPDATE_HEADS = """
    UPDATE accounts SET last_seq = head.seq, last_hash = head.hash
    FROM unnest(CAST(:head_ids AS uuid[]), CAST(:head_seqs AS bigint[]), CAST(:head_hashes AS bytea[]))
        AS head (id, seq, hash)
    WHERE accounts.id = head.id
"""


class LockedHeads(msgspec.Struct, frozen=True):
    """Locked heads by account id, and the database's time at which the last lock was had."""

    by_account: Mapping[str, Head]
    now: datetime


async def lock_heads(connection: AsyncConnection, account_ids: Collection[str]) -> LockedHeads:
    """Lock the logs of these accounts until the transaction ends. An unknown account is not in the answer."""
    rows = (await connection.execute(_LOCK_HEADS, {"ids": sorted(account_ids)})).fetchall()
    if not rows:
        raise LookupError("none of these accounts exists")
    return _to_locked_heads(rows)


async def write_and_lock_heads(
    connection: AsyncConnection, write: bulk.Statement, account_ids: Collection[str]
) -> tuple[LockedHeads, set[str]] | None:
    """The same behind a write, in one round trip; with the `id`s that the write returned.

    None where it returned none, or no account is left: then there is nothing to say, or nobody to say it to.
    """
    arguments = {**write.parameters, "ids": sorted(account_ids)}
    rows = (await connection.execute(_write_then_lock_sql(write.sql), arguments)).fetchall()
    return (_to_locked_heads(rows), set(rows[0].written)) if rows else None


@cache
def _write_then_lock_sql(write_sql: str) -> TextClause:
    # What is asked of the write in a condition without a column is asked before anything is locked.
    written, provided = "(SELECT array_agg(id) FROM first) AS written", "AND EXISTS (SELECT FROM first)"
    return text(f"WITH first AS ({write_sql}) {_LOCK_HEADS_TEMPLATE.format(also=f', {written}', provided=provided)}")


def _to_locked_heads(rows: Sequence[Row[Any]]) -> LockedHeads:
    return LockedHeads({row.id: Head(row.last_seq, row.last_hash) for row in rows}, max(row.now for row in rows))


async def append_events(connection: AsyncConnection, heads: LockedHeads, new_events: Sequence[NewEvent]) -> list[Event]:
    """Append `facts`, in order, to the locked logs."""
    events, parts = assign_sequence(heads, new_events)
    await bulk.execute(connection, parts)
    return events


def assign_sequence(heads: LockedHeads, new_events: Sequence[NewEvent]) -> tuple[list[Event], list[bulk.Statement]]:
    """The same in two steps: the events in their places, and what must be written for it while the lock is held."""
    moved = dict(heads.by_account)
    events: list[Event] = []
    for fact in new_events:
        moved[fact.account_id], event = append_event(moved[fact.account_id], fact, heads.now)
        events.append(event)
    if not events:
        return [], []
    touched = {event.account_id: moved[event.account_id] for event in events}
    return events, [
        _update_heads(touched),
        bulk.insert(_EVENTS_TABLE, [_event_row(event) for event in events], {"at": heads.now}),
    ]


def _update_heads(heads: Mapping[str, Head]) -> bulk.Statement:
    arguments = {
        "head_ids": list(heads),
        "head_seqs": [head.seq for head in heads.values()],
        "head_hashes": [head.hash for head in heads.values()],
    }
    return bulk.Statement(_UPDATE_HEADS, arguments)


def _event_row(event: Event) -> dict[str, object]:
    return {
        "account_id": event.account_id,
        "seq": event.seq,
        "type": event.type,
        "order_id": event.order_id,
        "signal_id": event.signal_id,
        "body": event.body.decode(),
        "hash": bulk.encode_bytea(event.hash),
    }
