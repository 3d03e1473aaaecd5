"""Signals in the database: insert, and find duplicates."""

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
    """Search for a signal with this key or, without a key, for an accepted one with this fingerprint in the window.

    `former_key` is the key as earlier versions stored it, for the whole account: one of this hook counts.
    """

    account_id: str
    idempotency_key: str | None
    hook_id: str | None
    fingerprint: bytes
    window_s: int
    former_key: str | None = None

    @property
    def name(self) -> str:
        """What the checks of two texts that are the same signal have in common."""
        name = self.idempotency_key
        if name is None:
            name = f"{self.hook_id}/{self.fingerprint.hex()}"
        return f"{self.account_id}/{name}"


class PreviousSignal(msgspec.Struct, frozen=True):
    """The first signal. Its fingerprint tells a resend from another body under the same key."""

    fingerprint: bytes
    answer: str
    is_accepted: bool = True


_SELECT_BY_KEY = text("""
    SELECT account_id::text, idempotency_key, hook_id, fingerprint, answer, is_accepted FROM signals
    WHERE (account_id, idempotency_key) IN (SELECT * FROM unnest(CAST(:accounts AS uuid[]), CAST(:keys AS text[])))
""")

_SELECT_IN_WINDOW = text("""
    SELECT fingerprint, answer FROM signals
    WHERE hook_id = :hook AND fingerprint = :fingerprint AND is_accepted
        AND received_at > clock_timestamp() - make_interval(secs => :window_s)
    ORDER BY received_at LIMIT 1
""")


_SELECT_SOURCES = text("""
    SELECT id::text, credential_id FROM signals
    WHERE account_id = CAST(:account AS uuid) AND id = ANY(CAST(:ids AS uuid[]))
""")


async def find_previous(connection: AsyncConnection, checks: Sequence[DuplicateCheck]) -> list[PreviousSignal | None]:
    """Return for each check the earlier signal.

    The caller holds the accounts' logs (`event_log.lock_heads`), so no other transaction stores the same signal now.
    """
    accounts_and_keys = [
        (check.account_id, key)
        for check in checks
        for key in (check.idempotency_key, check.former_key)
        if key is not None
    ]
    by_key: dict[tuple[str, str, str | None], PreviousSignal] = {}
    if accounts_and_keys:
        accounts, keys = zip(*accounts_and_keys, strict=True)
        for row in await connection.execute(_SELECT_BY_KEY, {"accounts": list(accounts), "keys": list(keys)}):
            previous = PreviousSignal(row.fingerprint, row.answer, row.is_accepted)
            by_key[row.account_id, row.idempotency_key, None] = previous
            by_key[row.account_id, row.idempotency_key, row.hook_id] = previous
    return [
        by_key.get((check.account_id, check.idempotency_key, None))
        or by_key.get((check.account_id, check.former_key or "", check.hook_id))
        if check.idempotency_key is not None
        else await _find_in_window(connection, check)
        for check in checks
    ]


async def get_sources(connection: AsyncConnection, account_id: str, signal_ids: Sequence[str]) -> dict[str, str]:
    """Return the id of the key or hook that sent each of these signals, as far as they are kept."""
    parameters = {"account": account_id, "ids": signal_ids}
    return {row.id: row.credential_id for row in await connection.execute(_SELECT_SOURCES, parameters)}


async def _find_in_window(connection: AsyncConnection, check: DuplicateCheck) -> PreviousSignal | None:
    parameters = {"hook": check.hook_id, "fingerprint": check.fingerprint, "window_s": check.window_s}
    row = (await connection.execute(_SELECT_IN_WINDOW, parameters)).one_or_none()
    return None if row is None else PreviousSignal(row.fingerprint, row.answer)


def insert(rows: Sequence[dict[str, Any]], received_at: datetime) -> bulk.Statement:
    return bulk.insert(TABLE, rows, {"received_at": received_at})
