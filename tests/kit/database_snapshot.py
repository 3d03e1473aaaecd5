"""Snapshot of the database for the invariant checks: orders, event logs and heads, read directly with SQL."""

from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db.engine import create_engine
from signalhub.domain.events import Head
from signalhub.settings import Settings

_SELECT_ORDERS = text("""
    SELECT orders.id::text, orders.account_id::text, orders.status, signals.idempotency_key AS key
    FROM orders LEFT JOIN signals ON signals.id = orders.signal_id AND signals.is_accepted
""")
_SELECT_ORPHANS = text("""
    SELECT coalesce(orders.id, signals.id)::text AS id
    FROM orders FULL JOIN (SELECT * FROM signals WHERE is_accepted) AS signals ON signals.id = orders.signal_id
    WHERE orders.id IS NULL OR signals.id IS NULL
""")
_SELECT_EVENTS = text(
    "SELECT account_id::text, seq, type, at, order_id::text, body, hash FROM events ORDER BY account_id, seq"
)
_SELECT_HEADS = text("SELECT id::text, last_seq, last_hash FROM accounts")


class StoredOrder(msgspec.Struct, frozen=True):
    """An order with the idempotency key of its signal."""

    id: str
    account_id: str
    status: str
    key: str | None


class LoggedEvent(msgspec.Struct, frozen=True):
    seq: int
    type: str
    at: datetime
    order_id: str | None
    body: str
    hash: bytes


class DatabaseSnapshot(msgspec.Struct, frozen=True):
    """`orphan_ids` are orders without a signal and accepted signals without an order."""

    orders: dict[str, StoredOrder]
    orphan_ids: list[str]
    event_logs: dict[str, list[LoggedEvent]]
    heads: dict[str, Head]
    delays_by_type: dict[str, timedelta]

    def compute_lateness_s(self, account_id: str) -> list[float]:
        """Return the delay in seconds between due time and event, for each fill and each close."""
        events_by_order: dict[str, list[LoggedEvent]] = defaultdict(list)
        for event in self.event_logs[account_id]:
            if event.order_id is not None and event.type.startswith("order."):
                events_by_order[event.order_id].append(event)
        return [
            (after.at - before.at - self.delays_by_type[after.type]).total_seconds()
            for order_events in events_by_order.values()
            for before, after in pairwise(order_events)
            if after.type in self.delays_by_type
        ]


async def read_heads(settings: Settings) -> dict[str, int]:
    """Return the last sequence number of each account's log."""
    engine = create_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            return {row.id: row.last_seq for row in await connection.execute(_SELECT_HEADS)}
    finally:
        await engine.dispose()


async def read(settings: Settings) -> DatabaseSnapshot:
    engine = create_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            return await _read_from(connection, settings)
    finally:
        await engine.dispose()


async def _read_from(connection: AsyncConnection, settings: Settings) -> DatabaseSnapshot:
    orders = {row.id: StoredOrder(*row) for row in await connection.execute(_SELECT_ORDERS)}
    orphan_ids = [row.id for row in await connection.execute(_SELECT_ORPHANS)]
    logs: dict[str, list[LoggedEvent]] = defaultdict(list)
    for account_id, *columns in await connection.execute(_SELECT_EVENTS):
        logs[account_id].append(LoggedEvent(*columns))
    heads = {row.id: Head(row.last_seq, row.last_hash) for row in await connection.execute(_SELECT_HEADS)}
    is_demo = settings.broker.profile == "demo"
    delays = {
        "order.executed": timedelta(seconds=settings.broker.demo_fill_s if is_demo else 0),
        "order.closed": timedelta(seconds=settings.broker.demo_close_s if is_demo else 0),
    }
    return DatabaseSnapshot(orders, orphan_ids, logs, heads, delays)
