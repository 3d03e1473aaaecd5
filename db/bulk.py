"""Many rows in one statement.

`INSERT … SELECT FROM json_to_recordset(…)` carries a whole batch as one text, so it costs one round trip, one plan and
one encoding however many rows it has. Measured against arrays for `unnest`, the client's share is much smaller: the
driver looks at every element of an array, and at none of a text.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import msgspec
from sqlalchemy import Column, LargeBinary, Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import DeclarativeBase

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
_encode = msgspec.json.Encoder().encode


def table(model: type[DeclarativeBase]) -> Table:
    """The table behind a model, which SQLAlchemy declares as something wider."""
    return cast("Table", model.__table__)


async def insert(
    connection: AsyncConnection,
    into: Table,
    rows: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Insert `rows`, which all have the same keys, each with the `shared` values; a missing column gets its default.

    Binary values come as `hexed` text.
    """
    if not rows:
        return
    common = shared or {}
    await connection.execute(_insert(into, tuple(rows[0]), tuple(common)), {"rows": document(rows), **common})


def document(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as `source` reads them."""
    return _encode(rows).decode()


def hexed(value: bytes) -> str:
    """Bytes in the form of PostgreSQL's bytea input."""
    return "\\x" + value.hex()


def source(of: Table, names: Sequence[str], parameter: str = "rows") -> str:
    """`json_to_recordset(…) AS fresh (…)` over what `document` makes, each column in its own type."""
    typed = ", ".join(f"{name} {_type(of.columns[name])}" for name in names)
    return f"json_to_recordset(CAST(:{parameter} AS json)) AS fresh ({typed})"


@cache
def _insert(into: Table, names: tuple[str, ...], shared: tuple[str, ...]) -> TextClause:
    given = [*names, *(f"CAST(:{name} AS {_type(into.columns[name])})" for name in shared)]
    return text(
        f"INSERT INTO {into.name} ({', '.join((*names, *shared))}) SELECT {', '.join(given)} "  # noqa: S608 - names of our own tables
        f"FROM {source(into, names)}"
    )


def _type(column: Column[Any]) -> str:
    return "bytea" if isinstance(column.type, LargeBinary) else column.type.compile(_DIALECT)
