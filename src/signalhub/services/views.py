"""Reading: pages of orders and signals, one order, its events, the sums. Never another account's."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncEngine

from db import log, orders, signals
from signalhub.domain.errors import SignalHubError
from signalhub.domain.events import instant
from signalhub.domain.order import Order

MOST: Final = 500


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """`cursor` is the `next_cursor` of the page before."""

    status: str | None = None
    symbol: str | None = None
    since: datetime | None = None
    limit: int = 50
    cursor: str | None = None


class SignalLine(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    accepted: bool
    raw: str
    credential_id: str
    received_at: str
    trace_id: str
    answer: msgspec.Raw | None
    errors: msgspec.Raw | None


class Views:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def orders(self, account_id: str, filters: Filters) -> tuple[list[Order], str | None]:
        """A page, newest first, and the cursor of the next."""
        table = orders.TABLE.c
        query = select(orders.TABLE).where(table.account_id == account_id).order_by(table.id.desc())
        if filters.status is not None:
            query = query.where(table.status == filters.status)
        if filters.symbol is not None:
            query = query.where(table.symbol == filters.symbol.upper())
        if filters.since is not None:
            query = query.where(table.created_at >= filters.since)
        rows, following = await self._page(query, table.id, filters.limit, filters.cursor)
        return [orders.from_row(row) for row in rows], following

    async def order(self, account_id: str, order_id: str) -> Order:
        """Raises `not_found`."""
        table = orders.TABLE.c
        query = select(orders.TABLE).where(table.id == an_id(order_id), table.account_id == account_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise SignalHubError("not_found", "There is no such order.")
        return orders.from_row(row)

    async def order_events(self, account_id: str, order_id: str) -> list[log.Line]:
        order = await self.order(account_id, order_id)
        async with self._engine.connect() as connection:
            lines = await log.of_signal(connection, account_id, order.signal_id)
        return [line for line in lines if line.type.startswith("order.")]

    async def events(self, account_id: str, after: int, limit: int, types: frozenset[str] | None) -> "EventPage":
        async with self._engine.connect() as connection:
            head = (await log.heads(connection, [account_id])).get(account_id, 0)
            lines = await log.page(connection, account_id, after, most=limit, until=head, types=types)
            is_next = after >= head or (lines and lines[0].seq == after + 1)
            oldest = after + 1 if is_next else await log.oldest(connection, account_id)
        return EventPage(lines, head, pruned=(head if oldest is None else oldest - 1))

    async def signals(self, account_id: str, filters: Filters) -> tuple[list[SignalLine], str | None]:
        """A page of what was sent, accepted or not, newest first, and the cursor of the next."""
        table = signals.TABLE.c
        query = select(signals.TABLE).where(table.account_id == account_id).order_by(table.id.desc())
        if filters.status is not None:
            query = query.where(table.is_accepted == (filters.status == "accepted"))
        if filters.since is not None:
            query = query.where(table.received_at >= filters.since)
        rows, following = await self._page(query, table.id, filters.limit, filters.cursor)
        return [_signal_line(row) for row in rows], following

    async def receipt(self, account_id: str, signal_id: str) -> tuple[SignalLine, list[log.Line]]:
        """What was sent, and everything that came of it. Raises `not_found`."""
        table = signals.TABLE.c
        query = select(signals.TABLE).where(table.id == an_id(signal_id), table.account_id == account_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                raise SignalHubError("not_found", "There is no such signal.")
            return _signal_line(row), await log.of_signal(connection, account_id, signal_id)

    async def _page(self, query: Select[Any], id_: Any, limit: int, cursor: str | None) -> tuple[list[Any], str | None]:  # noqa: ANN401 - a column of any table
        if not 1 <= limit <= MOST:
            raise SignalHubError("invalid_request", f"limit must be from 1 to {MOST}.")
        if cursor is not None:
            query = query.where(id_ < an_id(cursor, "bad_cursor"))
        async with self._engine.connect() as connection:
            rows = list((await connection.execute(query.limit(limit + 1))).mappings())
        return rows[:limit], str(rows[limit - 1]["id"]) if len(rows) > limit else None


class EventPage(msgspec.Struct, frozen=True):
    """`pruned` is the last event that is no longer kept, if it is after what was asked for."""

    lines: list[log.Line]
    head: int
    pruned: int


def an_id(text: str, code: str = "not_found") -> str:
    """`text` if it can be an id at all; anything else names nothing."""
    try:
        return str(UUID(text))
    except ValueError:
        raise SignalHubError(code) from None


def _signal_line(row: Any) -> SignalLine:  # noqa: ANN401 - a row mapping
    answer = msgspec.Raw(row["answer"].encode())
    return SignalLine(
        id=str(row["id"]),
        accepted=row["is_accepted"],
        raw=row["raw"].decode("utf-8", errors="replace"),
        credential_id=row["credential_id"],
        received_at=instant(row["received_at"]),
        trace_id=row["trace_id"],
        answer=answer if row["is_accepted"] else None,
        errors=None if row["is_accepted"] else answer,
    )
