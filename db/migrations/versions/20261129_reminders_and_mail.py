"""reminders, snoozed notifications, messages of notifications and a digest of the day

Revision ID: 0023
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

from db.driver.types import Json, UtcDateTime

revision = "0023"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reminders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("remind_at", UtcDateTime(), nullable=True),
        sa.Column("before_due", sa.Integer(), nullable=True),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("snoozed_until", UtcDateTime(), nullable=True),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("(remind_at is null) <> (before_due is null)", name=op.f("ck_reminders_moment")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_reminders_user_id_users"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_reminders_task_id_tasks"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reminders")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_reminders_user_id_task_id", "reminders", ["user_id", "task_id"])
    op.create_index("ix_reminders_task_id", "reminders", ["task_id"])
    _partial("reminders", "next_at")
    op.create_table(
        "mails",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("day", sa.String(10), nullable=True),
        sa.Column("message_id", sa.String(300), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("kind in ('notices', 'digest')", name=op.f("ck_mails_kind")),
        sa.CheckConstraint("state in ('waiting', 'sent', 'failed')", name=op.f("ck_mails_state")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mails_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_mails_user_id_created_at", "mails", ["user_id", "created_at"])
    for name, columns, where, unique in (
        ("ix_mails_waiting", ["user_id", "id"], "state = 'waiting'", False),
        ("ix_mails_finished_at", ["finished_at"], "finished_at IS NOT NULL", False),
        ("uq_mails_user_id_day", ["user_id", "day"], "day IS NOT NULL", True),
    ):
        op.create_index(
            name, "mails", columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )
    op.create_table(
        "mail_notices",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_mail_notices_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "event_id", name=op.f("pk_mail_notices")),
    )
    op.add_column("notifications", sa.Column("snoozed_until", UtcDateTime(), nullable=True))
    _partial("notifications", "snoozed_until")
    # servers of the version before write rows without them
    for column in (
        sa.Column("mailed_kinds", Json, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("digest", sa.String(8), nullable=False, server_default="off"),
        sa.Column("digest_hour", sa.SmallInteger(), nullable=False, server_default="7"),
        sa.Column("digest_at", UtcDateTime(), nullable=True),
        sa.Column("digested_at", UtcDateTime(), nullable=True),
    ):
        op.add_column("notification_preferences", column)
    _partial("notification_preferences", "digest_at")


def downgrade() -> None:
    op.drop_index("ix_notification_preferences_digest_at", "notification_preferences")
    for column in ("digested_at", "digest_at", "digest_hour", "digest", "mailed_kinds"):
        op.drop_column("notification_preferences", column)
    op.drop_index("ix_notifications_snoozed_until", "notifications")
    op.drop_column("notifications", "snoozed_until")
    for table_name in ("mail_notices", "mails", "reminders"):
        op.drop_table(table_name)


def _partial(table: str, column: str) -> None:
    """An index of the few rows that have something in a column."""
    where = sa.text(f"{column} IS NOT NULL")
    op.create_index(f"ix_{table}_{column}", table, [column], sqlite_where=where, postgresql_where=where)
