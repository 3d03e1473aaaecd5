"""Analytics over an account's orders: counts, wins and results, by symbol, by source and by day.

Performance is measured in R, the result divided by the risk, because pounds, yen and bitcoin cannot be added.
"""

from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db import orders, signals
from signalhub.domain.order import Status
from signalhub.domain.signal import format_decimal

Grouping = Literal["symbol", "credential", "day"]
GROUPINGS: Final[tuple[Grouping, ...]] = ("symbol", "credential", "day")


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is a symbol, a credential's id, or a day in UTC.

    `expectancy` is the mean result, `profit_factor` the gains divided by the losses (null without losses), and
    `drawdown` the deepest fall of the running sum below its highest value so far, from 0.
    """

    name: str
    closed: int
    wins: int
    win_rate: str
    expectancy: str
    profit_factor: str | None
    drawdown: str


_GROUP_NAME_SQL: Final[dict[Grouping, str]] = {
    "symbol": "orders.symbol",
    "credential": "signals.credential_id",
    "day": "to_char(orders.closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}

_PERFORMANCE_TEMPLATE: Final = """
    WITH done AS (
        SELECT {key} AS name, closed_at, orders.id, pnl,
            CASE WHEN r_multiple > '-Infinity' AND r_multiple < 'Infinity' THEN r_multiple ELSE 0 END AS r FROM orders
        JOIN signals ON signals.account_id = orders.account_id AND signals.id = orders.signal_id
        WHERE orders.account_id = CAST(:account AS uuid) AND status = 'closed'
    ), running AS (
        SELECT *, sum(r) OVER (PARTITION BY name ORDER BY closed_at, id) AS total FROM done
    ), peaks AS (
        SELECT *, greatest(0, max(total) OVER (PARTITION BY name ORDER BY closed_at, id)) AS peak FROM running
    )
    SELECT name, count(*) AS closed, count(*) FILTER (WHERE pnl > 0) AS wins, avg(r) AS expectancy,
        sum(r) FILTER (WHERE r > 0) AS won, -sum(r) FILTER (WHERE r < 0) AS lost, max(peak - total) AS drawdown
    FROM peaks GROUP BY name ORDER BY name
"""
_STATEMENTS: Final = {by: text(_PERFORMANCE_TEMPLATE.format(key=key)) for by, key in _GROUP_NAME_SQL.items()}


async def compute_performance(connection: AsyncConnection, account_id: str, grouping: Grouping) -> list[Performance]:
    rows = await connection.execute(_STATEMENTS[grouping], {"account": account_id})
    return [
        Performance(
            name=row["name"],
            closed=row["closed"],
            wins=row["wins"],
            win_rate=f"{row['wins'] / row['closed']:.4f}",
            expectancy=f"{row['expectancy']:.4f}",
            profit_factor=f"{(row['won'] or 0) / row['lost']:.4f}" if row["lost"] else None,
            drawdown=f"{row['drawdown']:.4f}",
        )
        for row in rows.mappings()
    ]


class SymbolSum(msgspec.Struct, frozen=True, kw_only=True):
    """`pnl` is in the symbol's quote currency."""

    symbol: str
    orders: int
    closed: int
    wins: int
    win_rate: str | None
    pnl: str
    mean_r: str | None


class Analytics(msgspec.Struct, frozen=True, kw_only=True):
    total_signals: int
    rejected_signals: int
    total_orders: int
    by_status: dict[str, int]
    closed: int
    wins: int
    win_rate: str | None
    symbols: list[SymbolSum]
    performance: dict[Grouping, list[Performance]]


async def compute_analytics(engine: AsyncEngine, account_id: str) -> Analytics:
    table, sent = orders.TABLE.c, signals.TABLE.c
    by_status = select(table.status, func.count()).where(table.account_id == account_id).group_by(table.status)
    by_verdict = select(sent.is_accepted, func.count()).where(sent.account_id == account_id)
    async with engine.connect() as connection:
        statuses: dict[str, int] = {row[0]: row[1] for row in await connection.execute(by_status)}
        verdicts = {row[0]: row[1] for row in await connection.execute(by_verdict.group_by(sent.is_accepted))}
        performances = {by: await compute_performance(connection, account_id, by) for by in GROUPINGS}
        symbols = [
            _to_symbol_sum(row) for row in (await connection.execute(_select_symbol_totals(account_id))).mappings()
        ]
    closed, wins = sum(symbol.closed for symbol in symbols), sum(symbol.wins for symbol in symbols)
    return Analytics(
        total_signals=sum(verdicts.values()),
        rejected_signals=verdicts.get(False, 0),
        total_orders=sum(statuses.values()),
        by_status={status: statuses.get(status, 0) for status in Status},
        closed=closed,
        wins=wins,
        win_rate=_format_ratio(wins, closed),
        symbols=symbols,
        performance=performances,
    )


def _select_symbol_totals(account_id: str) -> Select[Any]:
    table = orders.TABLE.c
    is_closed = table.status == Status.CLOSED
    return (
        select(
            table.symbol,
            func.count().label("orders"),
            func.count().filter(is_closed).label("closed"),
            func.count().filter(is_closed, table.pnl > 0).label("wins"),
            func.coalesce(func.sum(table.pnl), 0).label("pnl"),
            func.avg(table.r_multiple).label("mean_r"),
        )
        .where(table.account_id == account_id)
        .group_by(table.symbol)
        .order_by(table.symbol)
    )


def _to_symbol_sum(row: Any) -> SymbolSum:  # noqa: ANN401 - a row mapping
    return SymbolSum(
        symbol=row["symbol"],
        orders=row["orders"],
        closed=row["closed"],
        wins=row["wins"],
        win_rate=_format_ratio(row["wins"], row["closed"]),
        pnl=format_decimal(row["pnl"]),
        mean_r=None if row["mean_r"] is None else f"{row['mean_r']:.4f}",
    )


def _format_ratio(part: int, whole: int) -> str | None:
    """Return `part / whole` with four decimals, None for an empty whole."""
    return f"{part / whole:.4f}" if whole else None
