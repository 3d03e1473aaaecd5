"""The event log of the accounts: append and read.

Appending locks the heads of the logs, numbers the events, writes them and moves the heads, all in the caller's
transaction. Because the lock is held until commit, `seq` has no gaps and commit order is `seq` order; a serial column
gives neither.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import structs
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from db import bulk
from db.engine import build_limits_sql
from db.tables import EventRow
from signalhub.domain.events import ALL_EVENTS, Event, EventCriteria, Head, NewEvent, append_event

_SELECT_PAGE = text("""
    SELECT seq, type, body FROM events
    WHERE account_id = CAST(:account AS uuid) AND seq > :after_seq AND seq <= :until_seq ORDER BY seq LIMIT :max_events
""")

# `bytes_before` is the length of the events before this one, so a page has at least one event, however long it is.
_SELECT_PAGE_BY_BYTES = text("""
    SELECT seq, type, body FROM (
        SELECT seq, type, body, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS bytes_before FROM (
            SELECT seq, type, body FROM events
            WHERE account_id = CAST(:account AS uuid) AND seq > :after_seq ORDER BY seq LIMIT :max_events
        ) AS page
    ) AS measured WHERE bytes_before < :max_bytes ORDER BY seq
""")

_SELECT_PAGE_BY_CRITERIA = text("""
    SELECT seq, type, body FROM events
    WHERE account_id = CAST(:account AS uuid) AND seq > :after_seq AND seq <= :until_seq
        AND (CAST(:types AS text[]) IS NULL OR type = ANY(CAST(:types AS text[])))
        AND (CAST(:order_ids AS uuid[]) IS NULL OR order_id = ANY(CAST(:order_ids AS uuid[])))
        AND (CAST(:symbols AS text[]) IS NULL OR order_id IN (
            SELECT id FROM orders WHERE account_id = CAST(:account AS uuid) AND symbol = ANY(CAST(:symbols AS text[]))))
        AND (CAST(:sources AS text[]) IS NULL OR signal_id IN (
            SELECT id FROM signals
            WHERE account_id = CAST(:account AS uuid) AND credential_id = ANY(CAST(:sources AS text[]))))
    ORDER BY seq LIMIT :max_events
""")

_SELECT_HEADS = text("SELECT id::text, last_seq FROM accounts WHERE id = ANY(CAST(:ids AS uuid[]))")

_SELECT_OLDEST_SEQ = text("SELECT seq FROM events WHERE account_id = CAST(:account AS uuid) ORDER BY seq LIMIT 1")

_SELECT_BY_SIGNAL = text("""
    SELECT seq, type, body FROM events WHERE signal_id = CAST(:signal AS uuid)
        AND account_id = CAST(:account AS uuid) ORDER BY seq
""")

_SELECT_RUN_HASHES = text("""
    SELECT run.number, previous.hash AS previous_hash, last.hash AS last_hash
    FROM unnest(CAST(:accounts AS uuid[]), CAST(:first_seqs AS bigint[]), CAST(:last_seqs AS bigint[]))
        WITH ORDINALITY AS run (account_id, first_seq, last_seq, number)
    JOIN events AS last ON last.account_id = run.account_id AND last.seq = run.last_seq
    LEFT JOIN events AS previous ON previous.account_id = run.account_id AND previous.seq = run.first_seq - 1
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
    criteria: EventCriteria = ALL_EVENTS,
) -> list[StoredEvent]:
    """Return up to `max_events` events after `after_seq`, oldest first."""
    parameters = {"account": account_id, "after_seq": after_seq, "until_seq": until_seq, "max_events": max_events}
    if criteria == ALL_EVENTS:
        return _to_stored_events(await connection.execute(_SELECT_PAGE, parameters))
    lists = {name: None if values is None else list(values) for name, values in structs.asdict(criteria).items()}
    return _to_stored_events(await connection.execute(_SELECT_PAGE_BY_CRITERIA, parameters | lists))


async def page_by_bytes(
    connection: AsyncConnection, account_id: str, after_seq: int, *, max_events: int, max_bytes: int
) -> list[StoredEvent]:
    """Return up to `max_events` events after `after_seq`, oldest first; the one that fills `max_bytes` is the last."""
    parameters = {"account": account_id, "after_seq": after_seq, "max_events": max_events, "max_bytes": max_bytes}
    return _to_stored_events(await connection.execute(_SELECT_PAGE_BY_BYTES, parameters))


async def get_oldest_seq(connection: AsyncConnection, account_id: str) -> int | None:
    """Return the first `seq` that is kept, None if there is none."""
    seq: int | None = (await connection.execute(_SELECT_OLDEST_SEQ, {"account": account_id})).scalar_one_or_none()
    return seq


async def list_by_signal(connection: AsyncConnection, account_id: str, signal_id: str) -> list[StoredEvent]:
    """Return every event of one signal and its order."""
    return _to_stored_events(await connection.execute(_SELECT_BY_SIGNAL, {"account": account_id, "signal": signal_id}))


async def get_heads(connection: AsyncConnection, account_ids: Sequence[str]) -> dict[str, int]:
    """Return the last `seq` of each of these logs."""
    return {row.id: row.last_seq for row in await connection.execute(_SELECT_HEADS, {"ids": list(account_ids)})}


class RunHashes(msgspec.Struct, frozen=True):
    """The hashes in the database at the end of a run of events and before it, None if that event is pruned."""

    previous: bytes | None
    last: bytes


async def get_run_hashes(
    connection: AsyncConnection, runs: Sequence[tuple[str, int, int]]
) -> Sequence[RunHashes | None]:
    """Return the hashes around each run, given as account, first and last `seq`; None where the log does not reach."""
    accounts, first_seqs, last_seqs = zip(*runs, strict=True)
    arguments = {"accounts": list(accounts), "first_seqs": list(first_seqs), "last_seqs": list(last_seqs)}
    hashes: list[RunHashes | None] = [None] * len(runs)
    for row in await connection.execute(_SELECT_RUN_HASHES, arguments):
        previous = b"" if first_seqs[row.number - 1] == 1 else row.previous_hash
        hashes[row.number - 1] = RunHashes(previous, row.last_hash)
    return hashes


def _to_stored_events(rows: Iterable[Row[Any]]) -> list[StoredEvent]:
    return [StoredEvent(row.seq, row.type, row.body.encode()) for row in rows]


LOCK_TIMEOUT_S: Final = 1.5
"""How long a request waits for its account's log: every request is answered within 2 seconds."""

SAVE_LOCK_TIMEOUT_S: Final = 0.1
"""How long a batch of moved orders waits for a log that another transaction holds. A transaction takes a few ms."""

_EVENTS_TABLE = bulk.get_table(EventRow)

# In id order, or two batches with the same accounts could deadlock.
_LOCK_HEADS_TEMPLATE = """
    SELECT accounts.id::text, last_seq, last_hash, clock_timestamp() AS now {also} FROM accounts, {limits}
    WHERE accounts.id = ANY(CAST(:ids AS uuid[])) {provided} ORDER BY accounts.id FOR NO KEY UPDATE OF accounts {skip}
"""


@cache
def _build_lock_heads(lock_timeout_s: float, skip: str = "") -> TextClause:
    limits = build_limits_sql(lock_timeout_s)
    return text(_LOCK_HEADS_TEMPLATE.format(also="", provided="", limits=limits, skip=skip))


_UPDATE_HEADS = """
    UPDATE accounts SET last_seq = head.seq, last_hash = head.hash
    FROM unnest(CAST(:head_ids AS uuid[]), CAST(:head_seqs AS bigint[]), CAST(:head_hashes AS bytea[]))
        AS head (id, seq, hash)
    WHERE accounts.id = head.id
"""


class LockedHeads(msgspec.Struct, frozen=True):
    """Locked heads by account id, and the database's time when the last lock was granted."""

    by_account: Mapping[str, Head]
    now: datetime


async def lock_heads(
    connection: AsyncConnection, account_ids: Collection[str], *, lock_timeout_s: float = LOCK_TIMEOUT_S
) -> LockedHeads:
    """Lock the logs of these accounts until the transaction ends. Unknown accounts are left out.

    Raises LookupError if none of them exists, and the database's error (see `db.engine.is_lock_timeout`) if one of the
    logs is not free in time.
    """
    statement = _build_lock_heads(lock_timeout_s)
    rows = (await connection.execute(statement, {"ids": sorted(account_ids)})).fetchall()
    if not rows:
        raise LookupError("none of these accounts exists")
    return _to_locked_heads(rows)


async def lock_free_heads(connection: AsyncConnection, account_ids: Collection[str]) -> LockedHeads | None:
    """Lock those of the logs that are free at once; None if none is."""
    statement = _build_lock_heads(LOCK_TIMEOUT_S, "SKIP LOCKED")
    rows = (await connection.execute(statement, {"ids": sorted(account_ids)})).fetchall()
    return _to_locked_heads(rows) if rows else None


async def write_and_lock_heads(
    connection: AsyncConnection,
    write: bulk.Statement,
    account_ids: Collection[str],
    *,
    lock_timeout_s: float = SAVE_LOCK_TIMEOUT_S,
) -> tuple[LockedHeads, set[str]] | None:
    """Write and then lock the logs, in one round trip. Returns the heads and the `id`s that the write returned.

    Returns None if the write returned no row or no account exists any more: then there is nothing to append. Raises the
    database's error if a log is not free in time.
    """
    arguments = {**write.parameters, "ids": sorted(account_ids)}
    rows = (await connection.execute(_write_then_lock_sql(write.sql, lock_timeout_s), arguments)).fetchall()
    return (_to_locked_heads(rows), set(rows[0].written)) if rows else None


@cache
def _write_then_lock_sql(write_sql: str, lock_timeout_s: float) -> TextClause:
    # A condition without a column of `accounts` is evaluated first, so nothing is locked before the write has ended.
    written, provided = "(SELECT array_agg(id) FROM first) AS written", "AND EXISTS (SELECT FROM first)"
    lock_heads_sql = _LOCK_HEADS_TEMPLATE.format(
        also=f", {written}", provided=provided, limits=build_limits_sql(lock_timeout_s), skip=""
    )
    return text(f"WITH first AS ({write_sql}) {lock_heads_sql}")


def _to_locked_heads(rows: Sequence[Row[Any]]) -> LockedHeads:
    return LockedHeads({row.id: Head(row.last_seq, row.last_hash) for row in rows}, max(row.now for row in rows))


async def append_events(connection: AsyncConnection, heads: LockedHeads, new_events: Sequence[NewEvent]) -> list[Event]:
    """Append events, in order, to the locked logs."""
    events, statements = assign_sequence(heads, new_events)
    await bulk.execute(connection, statements)
    return events


def assign_sequence(heads: LockedHeads, new_events: Sequence[NewEvent]) -> tuple[list[Event], list[bulk.Statement]]:
    """Return the numbered events, and the writes that append them, for a caller that has more to write."""
    new_heads = dict(heads.by_account)
    events: list[Event] = []
    for new_event in new_events:
        account_id = new_event.account_id
        new_heads[account_id], event = append_event(new_heads[account_id], new_event, heads.now)
        events.append(event)
    if not events:
        return [], []
    moved_heads = {event.account_id: new_heads[event.account_id] for event in events}
    update_heads = bulk.Statement(
        _UPDATE_HEADS,
        {
            "head_ids": list(moved_heads),
            "head_seqs": [head.seq for head in moved_heads.values()],
            "head_hashes": [head.hash for head in moved_heads.values()],
        },
    )
    return events, [
        update_heads,
        bulk.insert(_EVENTS_TABLE, [_event_row(event) for event in events], {"at": heads.now}),
    ]


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
