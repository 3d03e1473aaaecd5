"""An index by which the unused tickets of a key are counted."""

from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_index(op.f("ix_tickets_key_id"), "tickets", ["key_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_tickets_key_id"), table_name="tickets")
