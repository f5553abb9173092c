"""more keys of a saved view's order

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

from db.driver.types import Json

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # servers of the version before save views without it
    op.add_column("saved_views", sa.Column("then_by", Json, nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    op.drop_column("saved_views", "then_by")
