"""an index of the cancelled tasks; a time of completion where tasks are completed, and nowhere else

Lists go by that time where they look for completed tasks, or leave them out. No release wrote it otherwise: what is
mended was written by others. All tasks are read for it; the index has few of them, as a rule.

Revision ID: 0026
Revises: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_CANCELLED = sa.text("deleted_at IS NULL AND status = 'cancelled'")


def upgrade() -> None:
    op.execute("UPDATE tasks SET completed_at = updated_at WHERE status = 'completed' AND completed_at IS NULL")
    op.execute("UPDATE tasks SET completed_at = NULL WHERE status <> 'completed' AND completed_at IS NOT NULL")
    op.create_index(
        "ix_tasks_live_cancelled",
        "tasks",
        ["project_id", "id"],
        sqlite_where=_CANCELLED,
        postgresql_where=_CANCELLED,
    )


def downgrade() -> None:
    op.drop_index("ix_tasks_live_cancelled", table_name="tasks")
