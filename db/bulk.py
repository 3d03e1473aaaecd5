"""Many rows of many tables in one statement.

A batch travels as one JSON text per table, read by `json_to_recordset`, and all its writes are parts of one statement:
one round trip and one plan however many rows there are. Measured against arrays for `unnest`, the client's share is a
fifth smaller: the driver looks at every element of an array, and at none of a text.
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


class Part(msgspec.Struct, frozen=True):
    """One write of several that go together. Its parameters' names must be its own."""

    statement: str
    arguments: Mapping[str, Any]


async def run(connection: AsyncConnection, parts: Sequence[Part]) -> None:
    """Do all parts in one statement. They see the tables as they were before it, and none sees another's rows."""
    if parts:
        arguments: dict[str, Any] = {}
        for part in parts:
            arguments |= part.arguments
        await connection.execute(_together(tuple(part.statement for part in parts)), arguments)


def insert(into: Table, rows: Sequence[Mapping[str, Any]], shared: Mapping[str, Any]) -> Part:
    """Insert `rows`, which all have the same keys, each with the `shared` values; a missing column gets its default.

    Binary values come as `hexed` text.
    """
    arguments = {f"{into.name}_{name}": value for name, value in shared.items()}
    statement = _insert(into, tuple(rows[0]), tuple(shared))
    return Part(statement, {f"{into.name}_rows": document(rows), **arguments})


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
def _together(statements: tuple[str, ...]) -> TextClause:
    *first, last = statements
    named = ", ".join(f"part_{place} AS ({statement})" for place, statement in enumerate(first))
    return text(f"WITH {named} {last}" if first else last)


@cache
def _insert(into: Table, names: tuple[str, ...], shared: tuple[str, ...]) -> str:
    given = [*names, *(f"CAST(:{into.name}_{name} AS {_type(into.columns[name])})" for name in shared)]
    return (
        f"INSERT INTO {into.name} ({', '.join((*names, *shared))}) SELECT {', '.join(given)} "  # noqa: S608 - names of our own tables
        f"FROM {source(into, names, f'{into.name}_rows')}"
    )


def _type(column: Column[Any]) -> str:
    return "bytea" if isinstance(column.type, LargeBinary) else column.type.compile(_DIALECT)
