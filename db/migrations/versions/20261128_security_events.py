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

# The first five were recorded before this revision, by the owners themselves. The others are there where a database went
# down below it and comes up again: without their account, those of people would be told to whom these have met.
_KINDS = (
    *("user.claimed", "user.password_changed", "session.ended", "api_key.created", "api_key.deleted"),
    *("user.password_change_refused", "user.password_reset_requested", "user.password_reset", "user.email_verified"),
    *("user.deleted", "login.refused", "session.created", "session.token_reused", "api_key.updated", "api_key.rotated"),
    *("webhook.created", "webhook.updated", "webhook.rotated", "webhook.paused", "webhook.resumed", "webhook.deleted"),
)
_FIELDS = ("email", "disabled", "is_admin")
"""What is changed of a person that concerns the security of the account."""


def upgrade() -> None:
    op.add_column("events", sa.Column("account_id", sa.Integer(), nullable=True))
    fields = " OR ".join(f"CAST(changes AS text) LIKE '%\"{field}\":%'" for field in _FIELDS)
    op.execute(
        "UPDATE events SET account_id = CASE entity_type WHEN 'user' THEN entity_id"
        " WHEN 'session' THEN coalesce((SELECT user_id FROM sessions WHERE sessions.id = events.entity_id), actor_id)"
        " ELSE actor_id END "
        f"WHERE kind IN ({', '.join(map(repr, _KINDS))}) OR (kind = 'user.updated' AND ({fields}))"
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
