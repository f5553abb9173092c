"""events say whose security they concern, so that the owner of an account can read them

Few do: the index leaves the others out, and costs nothing where tasks are changed.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OF_ACCOUNTS = sa.text("account_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("events", sa.Column("account_id", sa.Integer(), nullable=True))
    # until now only owners ended sessions, or made and deleted keys
    op.execute(
        "UPDATE events SET account_id = CASE WHEN entity_type = 'user' THEN entity_id ELSE actor_id END "
        "WHERE kind IN ('user.claimed', 'user.password_changed', 'session.ended', 'api_key.created', 'api_key.deleted')"
    )
    op.create_index(
        "ix_events_account_id",
        "events",
        ["account_id", "id"],
        sqlite_where=_OF_ACCOUNTS,
        postgresql_where=_OF_ACCOUNTS,
    )


def downgrade() -> None:
    op.drop_index("ix_events_account_id", table_name="events")
    op.drop_column("events", "account_id")
