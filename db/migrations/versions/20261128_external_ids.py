"""what tasks, projects and comments are called in other systems

The columns are added in place on both databases: few rows have them, and their indexes leave the others out. What
imports have brought in is called what their notes say.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_CALLED = sa.text("external_id IS NOT NULL")
_PLACES = {"tasks": "project_id", "projects": "external_of_id", "comments": "external_project_id"}
"""Within what the ids of a source are unique."""

_KNOWN = {
    "tasks": (
        "UPDATE tasks SET external_source = known.system, external_id = known.external_id "
        "FROM external_ids AS known WHERE known.kind = 'task' AND known.entity_id = tasks.id"
    ),
    "projects": (
        "UPDATE projects SET external_source = known.system, external_id = known.external_id, external_of_id = "
        "(SELECT min(user_id) FROM memberships WHERE project_id = projects.id AND role = 'owner') "
        "FROM external_ids AS known WHERE known.kind = 'project' AND known.entity_id = projects.id"
    ),
    "comments": (
        "UPDATE comments SET external_source = known.system, external_id = known.external_id, external_project_id = "
        "(SELECT project_id FROM tasks WHERE tasks.id = comments.task_id) "
        "FROM external_ids AS known WHERE known.kind = 'comment' AND known.entity_id = comments.id"
    ),
}


def upgrade() -> None:
    # as text: Alembic would make tables anew on SQLite, and lose their triggers
    op.execute(
        "ALTER TABLE projects ADD COLUMN external_of_id INTEGER "
        "CONSTRAINT fk_projects_external_of_id_users REFERENCES users (id) ON DELETE SET NULL"
    )
    op.execute("ALTER TABLE comments ADD COLUMN external_project_id INTEGER")
    for table, place in _PLACES.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN external_source VARCHAR(50)")
        op.execute(f"ALTER TABLE {table} ADD COLUMN external_id VARCHAR(255)")
        op.execute(_KNOWN[table])
        op.create_index(
            f"uq_{table}_{place}_external_source_external_id",
            table,
            [place, "external_source", "external_id"],
            unique=True,
            sqlite_where=_CALLED,
            postgresql_where=_CALLED,
        )


def downgrade() -> None:
    for table, place in _PLACES.items():
        op.drop_index(f"uq_{table}_{place}_external_source_external_id", table_name=table)
        for name in ("external_source", "external_id", *([] if table == "tasks" else [place])):
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
