"""indexes of the open tasks, in the orders that people ask for them, and of all tasks in the orders that had none

Most tasks of a tracker are done: those that are open are found without reading the others. Writing one of these indexes
for a million tasks takes a second or two, for the open ones next to nothing.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_LIVE = "deleted_at IS NULL"
_OPEN = f"{_LIVE} AND status IN ('pending', 'in_progress')"
_INDEXES = {
    "ix_tasks_live_title": (["title", "id"], _LIVE),
    "ix_tasks_live_id": (["id"], _LIVE),
    "ix_tasks_live_start_at": (["start_at", "id"], f"{_LIVE} AND start_at IS NOT NULL"),
    "ix_tasks_live_completed_at": (["completed_at", "id"], f"{_LIVE} AND completed_at IS NOT NULL"),
    **{
        f"ix_tasks_open_{name}": ([name, "id"], _OPEN)
        for name in ("created_at", "updated_at", "due_at", "priority", "title")
    },
}


def upgrade() -> None:
    for name, (order, condition) in _INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "tasks", ["project_id", *order], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, table_name="tasks")
