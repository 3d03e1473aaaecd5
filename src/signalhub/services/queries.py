"""Read an account's orders, signals and events. Pages go newest first; a cursor is the id of the last row.

Every query is limited to one account: another account's row is `not_found`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import RowMapping, Select, Text, cast, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from db import event_log, orders, signals
from signalhub.domain.errors import ErrorCode, SignalHubError
from signalhub.domain.events import ALL_EVENTS, EventCriteria, format_timestamp
from signalhub.domain.instruments import to_canonical_name
from signalhub.domain.order import Order

MAX_PAGE_SIZE: Final = 500

_log = structlog.get_logger()

_SELECT_SOURCES: Final = text("""
    SELECT id FROM api_keys WHERE account_id = CAST(:account AS uuid) AND :name IN (id, label)
    UNION ALL SELECT id FROM hooks WHERE account_id = CAST(:account AS uuid) AND :name IN (id, label)
""")


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """`cursor` is the `next_cursor` of the page before."""

    status: str | None = None
    symbol: str | None = None
    since: datetime | None = None
    limit: int = 50
    cursor: str | None = None


class StoredSignal(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    accepted: bool
    raw: str
    credential_id: str
    received_at: str
    trace_id: str
    answer: msgspec.Raw | None
    errors: msgspec.Raw | None


class Queries:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def list_orders(self, account_id: str, filters: Filters) -> tuple[list[Order], str | None]:
        """Return a page of orders, newest first, and the cursor of the next page."""
        table = orders.TABLE.c
        query = select(orders.TABLE).where(table.account_id == account_id).order_by(table.id.desc())
        if filters.status is not None:
            query = query.where(table.status == filters.status)
        if filters.symbol is not None:
            query = query.where(table.symbol == to_canonical_name(filters.symbol))
        if filters.since is not None:
            query = query.where(table.created_at >= filters.since)
        rows, next_cursor = await self._fetch_page(query, table.id, filters.limit, filters.cursor)
        return [_to_order(row) for row in rows], next_cursor

    async def get_order(self, account_id: str, order_id: str) -> Order:
        """Return an order. Raises `not_found`."""
        table = orders.TABLE.c
        query = select(orders.TABLE).where(table.id == parse_id(order_id), table.account_id == account_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise SignalHubError("not_found", "There is no such order.")
        return _to_order(row)

    async def find_orders(self, account_id: str, order_ids: Sequence[str]) -> list[str]:
        """Return the ids as they are stored. Raises `not_found` if one is of no order of the account."""
        ids = {parse_id(order_id) for order_id in order_ids}
        table = orders.TABLE.c
        query = select(cast(table.id, Text)).where(table.id.in_(ids), table.account_id == account_id)
        async with self._engine.connect() as connection:
            stored_ids = list((await connection.execute(query)).scalars())
        if len(stored_ids) < len(ids):
            raise SignalHubError("not_found", "There is no such order.")
        return stored_ids

    async def list_order_events(self, account_id: str, order_id: str) -> list[event_log.StoredEvent]:
        order = await self.get_order(account_id, order_id)
        async with self._engine.connect() as connection:
            events = await event_log.list_by_signal(connection, account_id, order.signal_id)
        return [event for event in events if event.type.startswith("order.")]

    async def page_events(
        self, account_id: str, after_seq: int, limit: int, criteria: EventCriteria = ALL_EVENTS
    ) -> "EventPage":
        async with self._engine.connect() as connection:
            head = (await event_log.get_heads(connection, [account_id])).get(account_id, 0)
            events = await event_log.page(
                connection, account_id, after_seq, max_events=limit, until_seq=head, criteria=criteria
            )
            is_next = after_seq >= head or (events and events[0].seq == after_seq + 1)
            oldest = after_seq + 1 if is_next else await event_log.get_oldest_seq(connection, account_id)
        return EventPage(events, head, last_pruned_seq=(head if oldest is None else oldest - 1))

    async def find_sources(self, account_id: str, name: str) -> list[str]:
        """Return the ids of the account's keys and hooks with this id or label, revoked ones included."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(_SELECT_SOURCES, {"account": account_id, "name": name})
            return list(rows.scalars())

    async def list_signals(self, account_id: str, filters: Filters) -> tuple[list[StoredSignal], str | None]:
        """Return a page of signals, accepted or not, newest first, and the cursor of the next page."""
        table = signals.TABLE.c
        query = select(signals.TABLE).where(table.account_id == account_id).order_by(table.id.desc())
        if filters.status is not None:
            query = query.where(table.is_accepted == (filters.status == "accepted"))
        if filters.since is not None:
            query = query.where(table.received_at >= filters.since)
        rows, next_cursor = await self._fetch_page(query, table.id, filters.limit, filters.cursor)
        return [_to_stored_signal(row) for row in rows], next_cursor

    async def get_signal_with_events(
        self, account_id: str, signal_id: str
    ) -> tuple[StoredSignal, list[event_log.StoredEvent]]:
        """Return a signal and every event of it and its order. Raises `not_found`."""
        table = signals.TABLE.c
        query = select(signals.TABLE).where(table.id == parse_id(signal_id), table.account_id == account_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                raise SignalHubError("not_found", "There is no such signal.")
            return _to_stored_signal(row), await event_log.list_by_signal(connection, account_id, signal_id)

    async def _fetch_page(
        self,
        query: Select[Any],
        id_column: Any,  # noqa: ANN401 - a column of any table
        limit: int,
        cursor: str | None,
    ) -> tuple[list[Any], str | None]:
        if not 1 <= limit <= MAX_PAGE_SIZE:
            raise SignalHubError("invalid_request", f"limit must be from 1 to {MAX_PAGE_SIZE}.")
        if cursor is not None:
            query = query.where(id_column < parse_id(cursor, "bad_cursor"))
        async with self._engine.connect() as connection:
            rows = list((await connection.execute(query.limit(limit + 1))).mappings())
        return rows[:limit], str(rows[limit - 1]["id"]) if len(rows) > limit else None


class EventPage(msgspec.Struct, frozen=True):
    """`last_pruned_seq` is the last event that is no longer kept, if it is after the requested position."""

    events: list[event_log.StoredEvent]
    head: int
    last_pruned_seq: int


def parse_id(text: str, error_code: ErrorCode = "not_found") -> str:
    """Return `text` as an id. Raises `error_code` if it is no UUID."""
    try:
        return str(UUID(text))
    except ValueError:
        raise SignalHubError(error_code) from None


def _to_order(row: RowMapping) -> Order:
    """Return the order of a row. One that cannot be read has the reason `unreadable` and does not hide the others."""
    try:
        return orders.from_row(row)
    except orders.UnreadableOrderError as error:
        _log.error("order.unreadable", order_id=error.order.id, error=str(error))
        return error.order


def _to_stored_signal(row: Any) -> StoredSignal:  # noqa: ANN401 - a row mapping
    answer = _to_json(row["answer"], row["id"])
    return StoredSignal(
        id=str(row["id"]),
        accepted=row["is_accepted"],
        raw=row["raw"].decode("utf-8", errors="replace"),
        credential_id=row["credential_id"],
        received_at=format_timestamp(row["received_at"]),
        trace_id=row["trace_id"],
        answer=answer if row["is_accepted"] else None,
        errors=None if row["is_accepted"] else answer,
    )


def _to_json(text: str, signal_id: object) -> msgspec.Raw | None:
    """Return stored JSON as it is, or None if it is none: it would make the JSON of the whole page invalid."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        _log.error("signal.unreadable", signal_id=str(signal_id), error=str(error))
        return None
    return msgspec.Raw(text.encode())
