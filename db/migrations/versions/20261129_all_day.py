"""tasks begin and are due on days without a time

The columns are added in place on both databases: instants have none, and are not written anew.

Revision ID: 0025
Revises: 0024
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # as text: Alembic would make the table anew on SQLite, and lose its triggers
    op.execute("ALTER TABLE tasks ADD COLUMN start_all_day BOOLEAN")
    op.execute("ALTER TABLE tasks ADD COLUMN due_all_day BOOLEAN")


def downgrade() -> None:
    op.execute("ALTER TABLE tasks DROP COLUMN due_all_day")
    op.execute("ALTER TABLE tasks DROP COLUMN start_all_day")
