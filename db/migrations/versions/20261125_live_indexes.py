"""an index for each order that lists of tasks are read in, without the tasks in the trash

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ORDERS = ("created_at", "updated_at", "due_at", "priority")
_LIVE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    for name in _ORDERS:
        op.create_index(
            f"ix_tasks_live_{name}",
            "tasks",
            ["project_id", name, "id"],
            sqlite_where=_LIVE,
            postgresql_where=_LIVE,
        )
    op.drop_index("ix_tasks_project_id_created_at_id", table_name="tasks")


def downgrade() -> None:
    op.create_index("ix_tasks_project_id_created_at_id", "tasks", ["project_id", "created_at", "id"])
    for name in _ORDERS:
        op.drop_index(f"ix_tasks_live_{name}", table_name="tasks")
