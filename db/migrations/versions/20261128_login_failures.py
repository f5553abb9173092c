"""failed logins are counted for each account and address, and sessions remember from where they were begun

Revision ID: 0009
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

from db.driver.types import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_failures",
        sa.Column("subject", sa.String(32), nullable=False),
        sa.Column("place", sa.String(32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("counted_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "place", name="pk_login_failures"),
    )
    op.create_index("ix_login_failures_ends_at", "login_failures", ["ends_at"])
    # a pseudonym; of sessions that were begun before, nothing is known
    op.add_column("sessions", sa.Column("place", sa.String(32), nullable=True))
    op.create_index("ix_sessions_user_id_place", "sessions", ["user_id", "place"])


def downgrade() -> None:
    op.drop_index("ix_sessions_user_id_place", table_name="sessions")
    op.drop_column("sessions", "place")
    op.drop_table("login_failures")
