"""an event is in the indexes that somebody reads: those of its task and of its position

The one of entities was read for relations alone, so it holds their events; the one of projects was read by nobody.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_OF_RELATIONS = sa.text("entity_type = 'relation'")


def upgrade() -> None:
    op.drop_index("ix_events_entity_type_entity_id_id", table_name="events")
    op.drop_index("ix_events_project_id_position", table_name="events")
    op.create_index(
        "ix_events_relations", "events", ["entity_id"], sqlite_where=_OF_RELATIONS, postgresql_where=_OF_RELATIONS
    )


def downgrade() -> None:
    op.drop_index("ix_events_relations", table_name="events")
    op.create_index("ix_events_project_id_position", "events", ["project_id", "position"])
    op.create_index("ix_events_entity_type_entity_id_id", "events", ["entity_type", "entity_id", "id"])
