"""Columns of an order that tell who holds it, and which of its steps a worker did not finish."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    # Without a default, so that no row is rewritten, and that a process of the version before writes rows as it did.
    op.add_column("orders", sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("orders", sa.Column("interruptions", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("orders", "interruptions")
    op.drop_column("orders", "claimed_at")
