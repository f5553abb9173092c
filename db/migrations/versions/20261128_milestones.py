"""milestones of projects, which tasks may name

The column of tasks is added in place on both databases: few tasks name one, and its index leaves the others out.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

from db.driver.types import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NAMED = sa.text("milestone_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "milestones",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "name_folded",
            sa.String(length=300).with_variant(sa.String(length=300, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("state in ('open', 'closed')", name=op.f("ck_milestones_state")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_milestones_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_milestones")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_milestones_project_id_name_folded", "milestones", ["project_id", "name_folded"], unique=True)
    # as text: Alembic would make the table anew on SQLite, and lose its triggers
    op.execute(
        "ALTER TABLE tasks ADD COLUMN milestone_id INTEGER "
        "CONSTRAINT fk_tasks_milestone_id_milestones REFERENCES milestones (id) ON DELETE SET NULL"
    )
    op.create_index("ix_tasks_milestone_id", "tasks", ["milestone_id"], sqlite_where=_NAMED, postgresql_where=_NAMED)


def downgrade() -> None:
    op.drop_index("ix_tasks_milestone_id", table_name="tasks")
    op.execute("ALTER TABLE tasks DROP COLUMN milestone_id")
    op.drop_table("milestones")
