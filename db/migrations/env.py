"""Alembic's entry: runs on the connection that `db.migrate` hands over, inside its advisory lock."""

from typing import Any, Literal

from advanced_alchemy.types import DateTimeUTC
from alembic import context

from db.tables import AccountRow


def _render(kind: str, item: Any, _context: object) -> str | Literal[False]:  # noqa: ANN401 - whatever Alembic renders
    """Write the plain type into a migration: what it made must not change when a library's type does."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, DateTimeUTC) else False


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=AccountRow.metadata, compare_type=True, render_item=_render)
with context.begin_transaction():
    context.run_migrations()
