"""Orders in the database: insert, claim, save.

A due order is claimed by a lease, on the database's clock. A sweep also leases shards (see `db.shards`), so that one
worker at a time moves an account's orders, in the order in which they fell due.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, asdict
from sqlalchemy import Numeric, RowMapping, TextualSelect, column, text
from sqlalchemy.ext.asyncio import AsyncConnection

from db import bulk
from db.engine import build_limits_sql
from db.event_log import SAVE_LOCK_TIMEOUT_S
from db.shards import SHARD_OF_ACCOUNT_SQL
from db.tables import OrderRow, StoredTime
from signalhub.domain import forced_outcomes
from signalhub.domain.order import MAX_VERSION, Order, PartialClose, Status
from signalhub.domain.signal import Signal

TABLE = bulk.get_table(OrderRow)

UNREADABLE: Final = "unreadable"
"""The reason of an order whose row cannot be read."""

_encode_closes = msgspec.json.Encoder().encode
_closes_decoder = msgspec.json.Decoder(tuple[PartialClose, ...])
_ID_COLUMNS: Final = ("id", "account_id", "signal_id")
_READ_COLUMNS: Final = tuple(column.name for column in TABLE.columns if column.name not in {"due_at", "claimed_at"})
_NUMBER_COLUMNS: Final = tuple(column.name for column in TABLE.columns if isinstance(column.type, Numeric))
_TIME_COLUMNS: Final = tuple(name for name in _READ_COLUMNS if isinstance(TABLE.columns[name].type, StoredTime))
_LIMIT_YEARS: Final = (MINYEAR, MAXYEAR)
"""A time that Python has no value for is read as one of the last year (see `StoredTime`), and sums could lead there."""

_ORDER_FIELDS: Final = msgspec.structs.fields(Order)
_TERM_FIELDS: Final = msgspec.structs.fields(Signal)

_MAX_INTERRUPTIONS: Final = 20

# The columns that a move may change; the others are written once.
_MUTABLE_COLUMNS: Final = (
    "status", "reason", "broker_order_id", "fill_price", "filled_at", "close_price", "closed_at", "close_reason",
    "closes", "pnl", "pnl_currency", "pips", "r_multiple", "mae", "mfe", "commission", "attempts",
    "next_attempt_at", "version", "updated_at", "due_at",
)  # fmt: skip


SCHEDULER_GRACE: Final = timedelta(milliseconds=250)
"""How long a sweep leaves alone an order whose worker was notified: both would only work on the same order."""


class UnreadableOrderError(Exception):
    """A row has a value that no order can have. `order` has what can be read of it, and `reason` UNREADABLE."""

    def __init__(self, order: Order, cause: Exception) -> None:
        super().__init__(f"order {order.id}: {cause}")
        self.order = order


class ClaimedOrders(msgspec.Struct, frozen=True):
    """Orders that this worker owns until the lease ends, and the database's time when they were claimed.

    A row that cannot be read is in `unreadable` instead: the others must not wait for it.
    """

    orders: tuple[Order, ...]
    now: datetime
    oldest_due_at: datetime
    unreadable: tuple[UnreadableOrderError, ...] = ()


# A claim moves `due_at` ahead by the lease, so if the worker dies the order falls due again. For the same reason a
# server crash may lose a lease, and the commit need not wait for the disk; set inside the statement because a statement
# of its own would cost a round trip. What no other worker saved is added to the interruptions, of which the last are
# kept. None of these functions fails for a stored value: that would be a failure of all claims.
_CLAIM_TEMPLATE = """
    UPDATE orders SET due_at = statement_timestamp() + make_interval(secs => :lease_s),
        claimed_at = statement_timestamp(),
        interruptions = CASE WHEN claimed_at IS NULL THEN interruptions ELSE
            coalesce(jsonb_path_query_array(interruptions, '{kept_interruptions}'), '[]') || jsonb_build_object(
                'claimed_at', {claimed_at}, 'resumed_at', {resumed_at}, 'attempt', CAST(attempts AS bigint) + 1
            ) END
    FROM (
        SELECT id, due_at FROM orders WHERE due_at <= {due_before}
        ORDER BY due_at LIMIT :max_orders FOR UPDATE SKIP LOCKED
    ) AS due, (SELECT set_config('synchronous_commit', 'off', true)) AS asynchronous
    WHERE orders.id = due.id
    RETURNING {columns}, greatest(due.due_at, 'epoch') AS was_due_at, statement_timestamp() AS claimed_at
"""


_NOW_SQL = "statement_timestamp()"
_UTC_TEXT_TEMPLATE = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24\\:MI\\:SS.US\"Z\"')"


def _build_claim(due_before_sql: str) -> TextualSelect:
    """Build a claim with named columns: to derive them from each result would take a seventh of a claim's CPU time."""
    columns_sql = ", ".join(map(_to_readable_sql, _READ_COLUMNS))
    statement = _CLAIM_TEMPLATE.format(
        due_before=due_before_sql,
        columns=columns_sql,
        kept_interruptions=f"$[last - {_MAX_INTERRUPTIONS - 2} to last]",
        claimed_at=_UTC_TEXT_TEMPLATE.format("claimed_at"),
        resumed_at=_UTC_TEXT_TEMPLATE.format(_NOW_SQL),
    )
    returned = [column(name, TABLE.columns[name].type if name == "interruptions" else None) for name in _READ_COLUMNS]
    return text(statement).columns(*returned, *map(column, ("was_due_at", "claimed_at")))


def _to_readable_sql(name: str) -> str:
    """Return the expression by which a SELECT reads the column (see `StoredTime`)."""
    column = TABLE.columns[name]
    expression = column.type.column_expression(column)
    return str(column if expression is None else expression)


_CLAIM_ANY = _build_claim(_NOW_SQL)
_CLAIM_IN_SHARDS = _build_claim(f"{_NOW_SQL} AND {SHARD_OF_ACCOUNT_SQL} = ANY(:shards)")
_GRACE_END_SQL = f"{_NOW_SQL} + interval '{SCHEDULER_GRACE.total_seconds()} s'"
_CLAIM_BY_ID = _build_claim(f"{_GRACE_END_SQL} AND id = ANY(CAST(:ids AS uuid[]))")

_COUNT_DUE = text(
    "SELECT count(*) FROM (SELECT 1 FROM orders WHERE due_at <= statement_timestamp() LIMIT :max_count) AS due"
)

_LOCK_FREE = text("SELECT id::text FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) FOR NO KEY UPDATE SKIP LOCKED")

_UPDATE_ORDERS = f"""
    UPDATE orders SET {", ".join(f"{name} = fresh.{name}" for name in _MUTABLE_COLUMNS)}, claimed_at = NULL
    FROM {bulk.recordset_sql(TABLE, ("id", *_MUTABLE_COLUMNS))}
    JOIN unnest(CAST(:expected_ids AS uuid[]), CAST(:expected_versions AS integer[])) AS expected (id, version)
        ON expected.id = fresh.id
    CROSS JOIN {build_limits_sql(SAVE_LOCK_TIMEOUT_S)}
    WHERE orders.id = fresh.id AND orders.version = expected.version
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
    """Claim up to `max_orders` due orders, only those in `shards` or with `order_ids` if given.

    Returns them in the order in which they fell due, None if nothing is due. Needs no transaction.
    """
    arguments: dict[str, Any] = {"lease_s": lease_s, "max_orders": max_orders}
    statement = _CLAIM_ANY
    if order_ids is not None:
        statement, arguments["ids"] = _CLAIM_BY_ID, list(order_ids)
    elif shards is not None:
        statement, arguments["shards"] = _CLAIM_IN_SHARDS, list(shards)
    rows = (await connection.execute(statement, arguments)).mappings().fetchall()
    if not rows:
        return None
    rows = sorted(rows, key=_due_sort_key)
    claimed: list[Order] = []
    unreadable: list[UnreadableOrderError] = []
    for row in rows:
        try:
            claimed.append(from_row(row))
        except UnreadableOrderError as error:
            unreadable.append(error)
    return ClaimedOrders(tuple(claimed), rows[0]["claimed_at"], rows[0]["was_due_at"], tuple(unreadable))


def _due_sort_key(row: RowMapping) -> tuple[datetime, str]:
    return row["was_due_at"], str(row["id"])


def save(
    changed_orders: Mapping[str, tuple[Order, datetime | None]], expected_versions: Mapping[str, int]
) -> bulk.Statement:
    """Store changed orders; the statement returns the `id` of each whose stored version was the expected one.

    Another worker has moved an order that is missing from the result: the caller must discard what it decided about it.
    """
    rows = [
        _update_row(order, due_at) for order, due_at in sorted(changed_orders.values(), key=lambda pair: pair[0].id)
    ]
    arguments = {
        "rows": bulk.encode_rows(rows),
        "expected_ids": list(expected_versions),
        "expected_versions": list(expected_versions.values()),
    }
    return bulk.Statement(_UPDATE_ORDERS, arguments)


async def lock_free(connection: AsyncConnection, order_ids: Sequence[str]) -> set[str]:
    """Lock those of the orders that no other transaction holds, and return their ids."""
    return set((await connection.execute(_LOCK_FREE, {"ids": list(order_ids)})).scalars())


async def count_due(connection: AsyncConnection, max_count: int) -> int:
    """Return how many orders are due now, at most `max_count`."""
    count: int = (await connection.execute(_COUNT_DUE, {"max_count": max_count})).scalar_one()
    return count


def from_row(row: RowMapping) -> Order:
    """Return the order of a row. Raises UnreadableOrderError.

    One conversion takes half the time of a construction field by field.
    """
    values: dict[str, Any] = {name: row[name] for name in _READ_COLUMNS}
    for name in _ID_COLUMNS:
        values[name] = str(values[name])
    values["simulation"] = None if row["simulate"] is None else forced_outcomes.from_stored_text(row["simulate"])
    try:
        values["closes"] = _decode_closes(row["closes"]) if row["closes"] else ()
        values["interruptions"] = row["interruptions"] or ()
        # The columns of the signal are named as its fields are. A copy: values that hold themselves are garbage that
        # stays, once for every claim of an order, until it is collected.
        values["terms"] = values.copy()
        order = msgspec.convert(values, Order)
        _check_numbers((*(values[name] for name in _NUMBER_COLUMNS), *order.terms.take_profits))
        _check_times(values[name] for name in _TIME_COLUMNS)
        if order.version >= MAX_VERSION:
            raise ValueError(f"{order.version} is the last version")  # noqa: TRY301 - as for any other value
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise UnreadableOrderError(_salvage_order(values), error) from error
    return order


def _decode_closes(stored: str) -> tuple[PartialClose, ...]:
    closes = _closes_decoder.decode(stored)
    for part in closes:
        _check_numbers((part.price, part.quantity))
    return closes


def _check_numbers(numbers: Iterable[Decimal | None]) -> None:
    for number in numbers:
        if number is not None and not number.is_finite():
            raise ValueError(f"{number} is no price, quantity or result")


def _check_times(times: Iterable[datetime | None]) -> None:
    for time in times:
        if time is not None and time.year in _LIMIT_YEARS:
            raise ValueError(f"{time} is no time of an order")


def _salvage_order(values: Mapping[str, Any]) -> Order:
    """Return an order of the columns that can be read. Another has its default or, without one, what is stored."""
    fields = {field.name: _salvage_field(field, values) for field in _ORDER_FIELDS if field.name != "terms"}
    terms = {field.name: _salvage_field(field, values) for field in _TERM_FIELDS}
    prices = terms["take_profits"] or ()
    terms["take_profits"] = tuple(price for price in prices if isinstance(price, Decimal) and price.is_finite())
    return Order(**fields | {"terms": Signal(**terms), "reason": UNREADABLE})


def _salvage_field(field: FieldInfo, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as many types as columns
    try:
        value = msgspec.convert(values[field.name], field.type)
        _check_numbers([value] if isinstance(value, Decimal) else ())
        _check_times([value] if isinstance(value, datetime) else ())
    except (msgspec.MsgspecError, ValueError):
        return values[field.name] if field.default is NODEFAULT else field.default
    return value


def _insert_row(order: Order, due_at: datetime | None) -> dict[str, Any]:
    return asdict(order.terms) | {
        "id": order.id,
        "account_id": order.account_id,
        "signal_id": order.signal_id,
        "trace_id": order.trace_id,
        "profile": order.profile,
        "simulate": order.simulate,
        "expires_at": order.expires_at,
        "due_at": due_at,
    }


def _update_row(order: Order, due_at: datetime | None) -> dict[str, Any]:
    encoded = {
        "id": order.id,
        "due_at": due_at,
        "closes": _encode_closes(order.closes).decode() if order.closes else None,
    }
    return {name: getattr(order, name) for name in _MUTABLE_COLUMNS if name not in encoded} | encoded
