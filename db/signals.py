"""Signals in the database, and the question whether one was here before."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db import bulk
from db.tables import SignalRow

TABLE = bulk.table(SignalRow)


class Probe(msgspec.Struct, frozen=True):
    """Asks for an accepted signal with this key or, without a key, with this fingerprint in the hook's window."""

    account_id: str
    key: str | None
    hook_id: str | None
    fingerprint: bytes
    window_s: int

    @property
    def lock_name(self) -> str:
        return f"{self.account_id}/{self.key if self.key is not None else f'{self.hook_id}/{self.fingerprint.hex()}'}"


class Earlier(msgspec.Struct, frozen=True):
    """The first signal: its fingerprint tells a resend from another body under the same key."""

    fingerprint: bytes
    answer: str


# Held until commit, so that of two processes with the same key one knows that the other is at work.
_LOCK = text("""
    SELECT pg_try_advisory_xact_lock(hashtextextended(name, 7)) FROM unnest(CAST(:names AS text[])) WITH ORDINALITY
    AS probe (name, place) ORDER BY place
""")

_BY_KEY = text("""
    SELECT account_id::text, idempotency_key, fingerprint, answer FROM signals
    WHERE (account_id, idempotency_key) IN (SELECT * FROM unnest(CAST(:accounts AS uuid[]), CAST(:keys AS text[])))
""")

_IN_WINDOW = text("""
    SELECT fingerprint, answer FROM signals
    WHERE hook_id = :hook AND fingerprint = :fingerprint AND is_accepted
        AND received_at > clock_timestamp() - make_interval(secs => :window)
    ORDER BY received_at LIMIT 1
""")


async def try_lock(connection: AsyncConnection, probes: Sequence[Probe]) -> list[bool]:
    """For each probe, whether nobody else is storing the same signal at this moment."""
    rows = await connection.execute(_LOCK, {"names": [probe.lock_name for probe in probes]})
    return [row[0] for row in rows]


async def earlier(connection: AsyncConnection, probes: Sequence[Probe]) -> list[Earlier | None]:
    """For each probe, the signal that was here before."""
    keyed = [probe for probe in probes if probe.key is not None]
    found: dict[tuple[str, str | None], Earlier] = {}
    if keyed:
        asked = {"accounts": [probe.account_id for probe in keyed], "keys": [probe.key for probe in keyed]}
        for row in await connection.execute(_BY_KEY, asked):
            found[row.account_id, row.idempotency_key] = Earlier(row.fingerprint, row.answer)
    return [
        found.get((probe.account_id, probe.key)) if probe.key is not None else await _in_window(connection, probe)
        for probe in probes
    ]


async def _in_window(connection: AsyncConnection, probe: Probe) -> Earlier | None:
    asked = {"hook": probe.hook_id, "fingerprint": probe.fingerprint, "window": probe.window_s}
    row = (await connection.execute(_IN_WINDOW, asked)).one_or_none()
    return None if row is None else Earlier(row.fingerprint, row.answer)


def insert(rows: Sequence[dict[str, Any]], received_at: datetime) -> bulk.Part:
    return bulk.insert(TABLE, rows, {"received_at": received_at})
