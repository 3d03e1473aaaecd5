"""Lanes: an account's orders are seen to by one worker at a time, so that they move in the order they fell due.

A lane is a share of all accounts, held by an advisory lock of the session. A worker that dies gives its lanes back, and
one that hangs loses them: the server ends a session that holds lanes and says nothing for too long.


Orders in and out of the database, and the claim that makes the database the clock.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, TextualSelect, column, text
from sqlalchemy.ext.asyncio import AsyncConnection

from db import bulk
from db.tables import OrderRow
from signalhub.domain.order import CloseReason, Order, PartialClose, Status
from signalhub.domain.signal import OrderType, Side, Signal

SHARD_COUNT: Final = 16
SHARD_OF_ACCOUNT_SQL: Final = f"(uuid_hash(orders.account_id) & {SHARD_COUNT - 1})"

# More in one turn would make larger batches of little work, and leave other workers nothing of much.
_MAX_SHARDS_PER_SWEEP: Final = 4
SHARD_LOCK_CLASS: Final = 0x516E414C

_LOCK_DUE_SHARDS = text(f"""
    SELECT lane, set_config('idle_session_timeout', :patience, false) FROM (
        SELECT DISTINCT {SHARD_OF_ACCOUNT_SQL} AS lane FROM (
            SELECT account_id FROM orders WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT 400
        ) AS orders
    ) AS due WHERE pg_try_advisory_lock({SHARD_LOCK_CLASS}, lane) LIMIT {_MAX_SHARDS_PER_SWEEP}
""")  # noqa: S608 - our own constants
_UNLOCK_SHARDS = text("SELECT pg_advisory_unlock_all(), set_config('idle_session_timeout', '0', false)")


@asynccontextmanager
async def acquire_shards(connection: AsyncConnection, idle_timeout_s: float) -> AsyncIterator[list[int]]:
    """Some lanes in which orders are due: none where nothing is due, or others hold all of those.

    `patience_s` is how long the connection may be silent meanwhile.
    """
    try:
        asked = await connection.execute(_LOCK_DUE_SHARDS, {"patience": str(int(idle_timeout_s * 1000))})
        lanes = [row.lane for row in asked]
        await connection.commit()
        yield lanes
        if lanes:
            await connection.execute(_UNLOCK_SHARDS)
            await connection.commit()
    except BaseException:
        # The pool would keep the connection, and the connection the lanes.
        await connection.invalidate()
        raise


TABLE = bulk.get_table(OrderRow)

_encode_closes = msgspec.json.Encoder().encode
_decode_closes = msgspec.json.Decoder(tuple[PartialClose, ...]).decode

# What a move may change; all else is written once.
_MUTABLE_COLUMNS: Final = (
    "status", "reason", "broker_order_id", "fill_price", "filled_at", "close_price", "closed_at", "close_reason",
    "closes", "pnl", "pnl_currency", "pips", "r_multiple", "mae", "mfe", "commission", "attempts",
    "next_attempt_at", "version", "updated_at", "due_at",
)  # fmt: skip


SCHEDULER_GRACE: Final = timedelta(milliseconds=250)
"""For so long an order that is rung for is left to whoever hears the bell: the clock would only get in the way."""


class ClaimedOrders(msgspec.Struct, frozen=True):
    """Orders that are ours until the lease ends, and the database's time when they were claimed."""

    orders: tuple[Order, ...]
    now: datetime


# Whoever claims pushes `due_at` ahead by the lease: should he die, the order falls due again by itself. For the same
# reason a lease may be forgotten when the server crashes, and no one waits for a disk; it is said inside the statement
# because a statement of its own would cost a round trip.
_CLAIM_TEMPLATE = """
    UPDATE orders SET due_at = statement_timestamp() + make_interval(secs => :lease)
    FROM (
        SELECT id, due_at FROM orders WHERE due_at <= {which}
        ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
    ) AS due, (SELECT set_config('synchronous_commit', 'off', true)) AS hurry
    WHERE orders.id = due.id
    RETURNING {columns}, due.due_at AS was_due_at, statement_timestamp() AS claimed_at
"""


def _build_claim(due_before_sql: str) -> TextualSelect:
    """Columns that are named need not be made out anew from each answer: a seventh of a claim's processor time."""
    names = TABLE.columns.keys()
    statement = _CLAIM_TEMPLATE.format(which=due_before_sql, columns=", ".join(f"orders.{name}" for name in names))
    return text(statement).columns(*map(column, (*names, "was_due_at", "claimed_at")))


_NOW_SQL = "statement_timestamp()"
_CLAIM_ANY = _build_claim(_NOW_SQL)
_CLAIM_IN_SHARDS = _build_claim(f"{_NOW_SQL} AND {SHARD_OF_ACCOUNT_SQL} = ANY(:lanes)")
_GRACE_END_SQL = f"{_NOW_SQL} + interval '{SCHEDULER_GRACE.total_seconds()} s'"
_CLAIM_BY_ID = _build_claim(f"{_GRACE_END_SQL} AND id = ANY(CAST(:ids AS uuid[]))")

_COUNT_DUE = text(
    "SELECT count(*) FROM (SELECT 1 FROM orders WHERE due_at <= statement_timestamp() LIMIT :most) AS due"
)

_UPDATE_ORDERS = f"""
    UPDATE orders SET {", ".join(f"{name} = fresh.{name}" for name in _MUTABLE_COLUMNS)}
    FROM {bulk.recordset_sql(TABLE, ("id", *_MUTABLE_COLUMNS))}
    JOIN unnest(CAST(:fence_ids AS uuid[]), CAST(:fences AS integer[])) AS fence (id, version) ON fence.id = fresh.id
    WHERE orders.id = fresh.id AND orders.version = fence.version
    RETURNING orders.id::text AS id
"""  # noqa: S608 - names of our own columns


def insert(new_orders: Sequence[tuple[Order, datetime | None]], now: datetime) -> bulk.Statement:
    """Insert orders made at `now`, each with the instant it is first due."""
    shared = {"status": Status.PENDING, "attempts": 0, "version": 1, "created_at": now, "updated_at": now}
    return bulk.insert(TABLE, [_insert_row(order, due_at) for order, due_at in new_orders], shared)


async def claim(
    connection: AsyncConnection,
    lease_s: float,
    *,
    max_orders: int,
    order_ids: Sequence[str] | None = None,
    shards: Sequence[int] | None = None,
) -> ClaimedOrders | None:
    """Take up to `most` due orders, in `lanes` only if given, in the order in which they fell due; or those of `ids`.

    None when nothing is due. Needs no transaction.
    """
    arguments: dict[str, Any] = {"lease": lease_s, "most": max_orders}
    statement = _CLAIM_ANY
    if order_ids is not None:
        statement, arguments["ids"] = _CLAIM_BY_ID, list(order_ids)
    elif shards is not None:
        statement, arguments["lanes"] = _CLAIM_IN_SHARDS, list(shards)
    rows = (await connection.execute(statement, arguments)).mappings().fetchall()
    if not rows:
        return None
    rows = sorted(rows, key=_due_sort_key)
    return ClaimedOrders(tuple(map(from_row, rows)), rows[0]["claimed_at"])


def _due_sort_key(row: RowMapping) -> tuple[datetime, str]:
    return row["was_due_at"], str(row["id"])


def save(
    changed_orders: Mapping[str, tuple[Order, datetime | None]], expected_versions: Mapping[str, int]
) -> bulk.Statement:
    """Store orders as they now stand; it returns the `id` of each whose version was still that of its fence.

    An order that is missing from the answer was moved by someone else meanwhile: what the caller decided about it
    must not be written anywhere.
    """
    rows = [
        _update_row(order, due_at) for order, due_at in sorted(changed_orders.values(), key=lambda pair: pair[0].id)
    ]
    arguments = {
        "rows": bulk.encode_rows(rows),
        "fence_ids": list(expected_versions),
        "fences": list(expected_versions.values()),
    }
    return bulk.Statement(_UPDATE_ORDERS, arguments)


async def count_due(connection: AsyncConnection, max_count: int) -> int:
    """How many orders are due now, counted up to `most`."""
    count: int = (await connection.execute(_COUNT_DUE, {"most": max_count})).scalar_one()
    return count


def from_row(row: RowMapping) -> Order:
    # One line for each field: only so are their types looked at.
    return Order(
        id=str(row["id"]),
        account_id=str(row["account_id"]),
        signal_id=str(row["signal_id"]),
        trace_id=row["trace_id"],
        terms=_signal_from_row(row),
        profile=row["profile"],
        simulate=row["simulate"],
        expires_at=row["expires_at"],
        status=Status(row["status"]),
        reason=row["reason"],
        broker_order_id=row["broker_order_id"],
        fill_price=row["fill_price"],
        filled_at=row["filled_at"],
        close_price=row["close_price"],
        closed_at=row["closed_at"],
        close_reason=CloseReason(row["close_reason"]) if row["close_reason"] else None,
        closes=_decode_closes(row["closes"]) if row["closes"] else (),
        pnl=row["pnl"],
        pnl_currency=row["pnl_currency"],
        pips=row["pips"],
        r_multiple=row["r_multiple"],
        mae=row["mae"],
        mfe=row["mfe"],
        commission=row["commission"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _signal_from_row(row: RowMapping) -> Signal:
    return Signal(
        side=Side(row["side"]),
        symbol=row["symbol"],
        order_type=OrderType(row["order_type"]),
        entry=row["entry"],
        entry_high=row["entry_high"],
        stop_loss=row["stop_loss"],
        take_profits=tuple(row["take_profits"]),
        quantity=row["quantity"],
    )


def _insert_row(order: Order, due_at: datetime | None) -> dict[str, Any]:
    terms = order.terms
    return {
        "id": order.id,
        "account_id": order.account_id,
        "signal_id": order.signal_id,
        "trace_id": order.trace_id,
        "side": terms.side,
        "symbol": terms.symbol,
        "order_type": terms.order_type,
        "entry": terms.entry,
        "entry_high": terms.entry_high,
        "stop_loss": terms.stop_loss,
        "take_profits": terms.take_profits,
        "quantity": terms.quantity,
        "profile": order.profile,
        "simulate": order.simulate,
        "expires_at": order.expires_at,
        "due_at": due_at,
    }


def _update_row(order: Order, due_at: datetime | None) -> dict[str, Any]:
    made = {"id": order.id, "due_at": due_at, "closes": _encode_closes(order.closes).decode() if order.closes else None}
    return {name: getattr(order, name) for name in _MUTABLE_COLUMNS if name not in made} | made
