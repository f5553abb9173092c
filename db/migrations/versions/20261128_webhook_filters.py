"""filters and documents of webhooks

Revision ID: 0024
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op

from db.driver.types import JsonOrNull

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("filter", JsonOrNull, nullable=True))
    op.add_column("webhooks", sa.Column("document", sa.Text(), nullable=True))
    op.add_column("webhook_deliveries", sa.Column("matches", sa.Boolean(), nullable=True))
    op.create_table(
        "webhook_tasks",
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_tasks_webhook_id_webhooks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("webhook_id", "task_id", name=op.f("pk_webhook_tasks")),
    )


def downgrade() -> None:
    op.drop_table("webhook_tasks")
    op.drop_column("webhook_deliveries", "matches")
    op.drop_column("webhooks", "document")
    op.drop_column("webhooks", "filter")
