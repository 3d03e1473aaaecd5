"""Signals in the database, and the question whether one was here before."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db import bulk
from db.tables import SignalRow

TABLE = bulk.get_table(SignalRow)


class DuplicateCheck(msgspec.Struct, frozen=True):
    """Asks for an accepted signal with this key or, without a key, with this fingerprint in the hook's window."""

    account_id: str
    idempotency_key: str | None
    hook_id: str | None
    fingerprint: bytes
    window_s: int

    @property
    def lock_name(self) -> str:
        name = self.idempotency_key
        if name is None:
            name = f"{self.hook_id}/{self.fingerprint.hex()}"
        return f"{self.account_id}/{name}"


class PreviousSignal(msgspec.Struct, frozen=True):
    """The first signal: its fingerprint tells a resend from another body under the same key."""

    fingerprint: bytes
    answer: str


# Held until commit, so that of two processes with the same key one knows that the other is at work.
_TRY_LOCK = text("""
    SELECT pg_try_advisory_xact_lock(hashtextextended(name, 7)) FROM unnest(CAST(:names AS text[])) WITH ORDINALITY
    AS probe (name, place) ORDER BY place
""")

_SELECT_BY_KEY = text("""
    SELECT account_id::text, idempotency_key, fingerprint, answer FROM signals
    WHERE (account_id, idempotency_key) IN (SELECT * FROM unnest(CAST(:accounts AS uuid[]), CAST(:keys AS text[])))
""")

_SELECT_IN_WINDOW = text("""
    SELECT fingerprint, answer FROM signals
    WHERE hook_id = :hook AND fingerprint = :fingerprint AND is_accepted
        AND received_at > clock_timestamp() - make_interval(secs => :window)
    ORDER BY received_at LIMIT 1
""")


async def try_lock(connection: AsyncConnection, checks: Sequence[DuplicateCheck]) -> list[bool]:
    """For each probe, whether nobody else is storing the same signal at this moment."""
    rows = await connection.execute(_TRY_LOCK, {"names": [probe.lock_name for probe in checks]})
    return [row[0] for row in rows]


async def find_previous(connection: AsyncConnection, checks: Sequence[DuplicateCheck]) -> list[PreviousSignal | None]:
    """For each probe, the signal that was here before."""
    keyed = [probe for probe in checks if probe.idempotency_key is not None]
    found: dict[tuple[str, str | None], PreviousSignal] = {}
    if keyed:
        asked = {"accounts": [probe.account_id for probe in keyed], "keys": [probe.idempotency_key for probe in keyed]}
        for row in await connection.execute(_SELECT_BY_KEY, asked):
            found[row.account_id, row.idempotency_key] = PreviousSignal(row.fingerprint, row.answer)
    return [
        found.get((probe.account_id, probe.idempotency_key))
        if probe.idempotency_key is not None
        else await _find_in_window(connection, probe)
        for probe in checks
    ]


async def _find_in_window(connection: AsyncConnection, check: DuplicateCheck) -> PreviousSignal | None:
    asked = {"hook": check.hook_id, "fingerprint": check.fingerprint, "window": check.window_s}
    row = (await connection.execute(_SELECT_IN_WINDOW, asked)).one_or_none()
    return None if row is None else PreviousSignal(row.fingerprint, row.answer)


def insert(rows: Sequence[dict[str, Any]], received_at: datetime) -> bulk.Statement:
    return bulk.insert(TABLE, rows, {"received_at": received_at})
