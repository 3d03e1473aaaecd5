"""A row for each shard, by which sweeps lease it: locks of a session do not work through a transaction pooler."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

_SHARD_COUNT = 16


def upgrade() -> None:
    shards = op.create_table(
        "shards",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), server_default=sa.text("'-infinity'"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shards")),
    )
    op.bulk_insert(shards, [{"id": number} for number in range(_SHARD_COUNT)])


def downgrade() -> None:
    op.drop_table("shards")
