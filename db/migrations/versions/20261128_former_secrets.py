"""secrets of API keys that work for a while after they were replaced

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

from db.driver.types import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_keys") as table:
        table.add_column(sa.Column("former_hash", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("former_until", UtcDateTime(), nullable=True))
        table.create_unique_constraint(op.f("uq_api_keys_former_hash"), ["former_hash"])


def downgrade() -> None:
    with op.batch_alter_table("api_keys") as table:
        table.drop_constraint(op.f("uq_api_keys_former_hash"), type_="unique")
        table.drop_column("former_until")
        table.drop_column("former_hash")
