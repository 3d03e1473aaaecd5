"""The database's side of a verdict: orders, logs and heads, read once and directly."""

from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db.engine import create_engine
from signalhub.domain.events import Head
from signalhub.settings import Settings

_ORDERS = text("""
    SELECT orders.id::text, orders.account_id::text, orders.status, signals.idempotency_key AS key
    FROM orders LEFT JOIN signals ON signals.id = orders.signal_id AND signals.is_accepted
""")
_STRAYS = text("""
    SELECT coalesce(orders.id, signals.id)::text AS id
    FROM orders FULL JOIN (SELECT * FROM signals WHERE is_accepted) AS signals ON signals.id = orders.signal_id
    WHERE orders.id IS NULL OR signals.id IS NULL
""")
_EVENTS = text(
    "SELECT account_id::text, seq, type, at, order_id::text, body, hash FROM events ORDER BY account_id, seq"
)
_HEADS = text("SELECT id::text, last_seq, last_hash FROM accounts")


class Placed(msgspec.Struct, frozen=True):
    """An order, and the idempotency key of its signal."""

    id: str
    account_id: str
    status: str
    key: str | None


class Line(msgspec.Struct, frozen=True):
    seq: int
    type: str
    at: datetime
    order_id: str | None
    body: str
    hash: bytes


class Ledger(msgspec.Struct, frozen=True):
    """`strays` are orders without a signal and accepted signals without an order."""

    orders: dict[str, Placed]
    strays: list[str]
    logs: dict[str, list[Line]]
    heads: dict[str, Head]
    waits: dict[str, timedelta]

    def lateness_s(self, account_id: str) -> list[float]:
        """How long after it was due each fill and each close became true."""
        stories: dict[str, list[Line]] = defaultdict(list)
        for line in self.logs[account_id]:
            if line.order_id is not None and line.type.startswith("order."):
                stories[line.order_id].append(line)
        return [
            (after.at - before.at - self.waits[after.type]).total_seconds()
            for story in stories.values()
            for before, after in pairwise(story)
            if after.type in self.waits
        ]


async def heads(settings: Settings) -> dict[str, int]:
    """The last number of each account's log."""
    engine = create_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            return {row.id: row.last_seq for row in await connection.execute(_HEADS)}
    finally:
        await engine.dispose()


async def read(settings: Settings) -> Ledger:
    engine = create_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            return await _read(connection, settings)
    finally:
        await engine.dispose()


async def _read(connection: AsyncConnection, settings: Settings) -> Ledger:
    orders = {row.id: Placed(*row) for row in await connection.execute(_ORDERS)}
    strays = [row.id for row in await connection.execute(_STRAYS)]
    logs: dict[str, list[Line]] = defaultdict(list)
    for account_id, *line in await connection.execute(_EVENTS):
        logs[account_id].append(Line(*line))
    heads = {row.id: Head(row.last_seq, row.last_hash) for row in await connection.execute(_HEADS)}
    is_demo = settings.broker_profile == "demo"
    waits = {
        "order.executed": timedelta(seconds=settings.demo_fill_s if is_demo else 0),
        "order.closed": timedelta(seconds=settings.demo_close_s if is_demo else 0),
    }
    return Ledger(orders, strays, logs, heads, waits)
