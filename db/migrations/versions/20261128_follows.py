"""people follow tasks and projects, and say what they want to be told of; notifications are made by a consumer

Revision ID: 0021
Revises: 0020
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from db.driver.types import Json, UtcDateTime

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_consumers = sa.table(
    "event_consumers",
    sa.column("name", sa.String()),
    sa.column("position", sa.BigInteger()),
    sa.column("updated_at", UtcDateTime()),
)
_progress = sa.table("notification_progress", sa.column("position", sa.BigInteger()))


def upgrade() -> None:
    reached = sa.select(sa.literal("notifications"), _progress.c.position, sa.literal(datetime.now(UTC), UtcDateTime()))
    op.execute(sa.insert(_consumers).from_select(["name", "position", "updated_at"], reached))
    op.drop_table("notification_progress")
    op.create_table(
        "task_follows",
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("following", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_task_follows_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_task_follows_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "user_id", name=op.f("pk_task_follows")),
    )
    op.create_index("ix_task_follows_user_id_task_id", "task_follows", ["user_id", "task_id"])
    op.create_table(
        "project_follows",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_follows_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_project_follows_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "user_id", name=op.f("pk_project_follows")),
    )
    op.create_index("ix_project_follows_user_id_project_id", "project_follows", ["user_id", "project_id"])
    op.create_table(
        "notification_preferences",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("muted_kinds", Json, nullable=False),
        sa.Column("muted_project_ids", Json, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_notification_preferences_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_notification_preferences")),
    )
    op.create_table(
        "due_notices",
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("due_soon_for", UtcDateTime(), nullable=True),
        sa.Column("overdue_for", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_due_notices_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_due_notices")),
    )


def downgrade() -> None:
    for table in ("due_notices", "notification_preferences", "project_follows", "task_follows"):
        op.drop_table(table)
    op.create_table(
        "notification_progress",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notification_progress"),
    )
    op.execute(
        "INSERT INTO notification_progress (id, position) "
        "SELECT 1, coalesce(max(position), 0) FROM event_consumers WHERE name = 'notifications'"
    )
    op.execute("DELETE FROM event_consumers WHERE name = 'notifications'")
