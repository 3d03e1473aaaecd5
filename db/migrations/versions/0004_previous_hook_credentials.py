"""Columns of a hook's replaced token and secret that still work for a while; an index that counts tickets by key."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_index(op.f("ix_tickets_key_id"), "tickets", ["key_id"], unique=False)
    # Without defaults: no row is rewritten, and a process of the version before writes rows as it did.
    for name in ("previous_digest", "previous_secret"):
        op.add_column("hooks", sa.Column(name, sa.LargeBinary(), nullable=True))
        op.add_column("hooks", sa.Column(f"{name}_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("previous_digest", "previous_secret"):
        op.drop_column("hooks", f"{name}_until")
        op.drop_column("hooks", name)
    op.drop_index(op.f("ix_tickets_key_id"), table_name="tickets")
