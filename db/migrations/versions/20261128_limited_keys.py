"""API keys that are limited to some projects

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("limited", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "api_key_projects",
        sa.Column("api_key_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name="fk_api_key_projects_api_key_id_api_keys", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_api_key_projects_project_id_projects", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("api_key_id", "project_id", name="pk_api_key_projects"),
    )
    op.create_index("ix_api_key_projects_project_id", "api_key_projects", ["project_id"])


def downgrade() -> None:
    # a key that was limited would be for all projects
    op.execute("DELETE FROM api_keys WHERE limited")
    op.drop_index("ix_api_key_projects_project_id", table_name="api_key_projects")
    op.drop_table("api_key_projects")
    op.drop_column("api_keys", "limited")
