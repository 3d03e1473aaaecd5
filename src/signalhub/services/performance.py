"""How well closed orders did, by symbol, by source, by day.

Everything is in R - the result divided by what was risked - because pounds, yen and bitcoin cannot be added.
"""

from typing import Final, Literal

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

Grouping = Literal["symbol", "credential", "day"]
GROUPINGS: Final[tuple[Grouping, ...]] = ("symbol", "credential", "day")


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is a symbol, a credential's id, or a day in UTC.

    `expectancy` is the mean result, `profit_factor` what was won by what was lost (null where nothing was lost), and
    `drawdown` the deepest fall of the running sum below its highest so far, from 0.
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
        SELECT {key} AS name, closed_at, orders.id, pnl, coalesce(r_multiple, 0) AS r FROM orders
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
    return [_to_performance(row) for row in rows.mappings()]


def _to_performance(row: RowMapping) -> Performance:
    return Performance(
        name=row["name"],
        closed=row["closed"],
        wins=row["wins"],
        win_rate=f"{row['wins'] / row['closed']:.4f}",
        expectancy=f"{row['expectancy']:.4f}",
        profit_factor=f"{(row['won'] or 0) / row['lost']:.4f}" if row["lost"] else None,
        drawdown=f"{row['drawdown']:.4f}",
    )
