"""tasks recur: a row for each series, and a mark at the task that it has come to

The column of tasks is added in place on both databases; its index has the few tasks that recur.

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

from db.driver.types import UtcDateTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_WAITING = sa.text("next_at IS NOT NULL")
_RECURRING = sa.text("deleted_at IS NULL AND recurs IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "recurrences",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(length=500), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("repeat_from", sa.String(length=16), nullable=False),
        sa.Column("create_next", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("occurrence", sa.String(length=32), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_recurrences_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recurrences")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_recurrences_task_id", "recurrences", ["task_id"], unique=True)
    op.create_index(
        "ix_recurrences_next_at", "recurrences", ["next_at"], sqlite_where=_WAITING, postgresql_where=_WAITING
    )
    # as text: Alembic would make the table anew on SQLite, and lose its triggers
    op.execute("ALTER TABLE tasks ADD COLUMN recurs BOOLEAN")
    op.create_index(
        "ix_tasks_live_recurring",
        "tasks",
        ["project_id", "id"],
        sqlite_where=_RECURRING,
        postgresql_where=_RECURRING,
    )


def downgrade() -> None:
    op.drop_index("ix_tasks_live_recurring", table_name="tasks")
    op.execute("ALTER TABLE tasks DROP COLUMN recurs")
    op.drop_table("recurrences")
