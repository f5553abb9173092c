"""search indexes take in what is new in small steps

Both databases gather new entries and merge them into the index when there are many, in the middle of somebody's INSERT:
10 to 50 ms for one task in a few hundred. PostgreSQL is to do so sixteen times as often, which also spares each search
from reading through up to 4 MB of pending entries (7.5 ms). On SQLite, the server does it beside the requests
(``db/sqlite_upkeep.py``); ``crisismerge`` is for those who write without it.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = ("task_texts", "comment_texts")


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        _configure_sqlite(automerge=0, usermerge=8, crisismerge=64)
    else:
        _configure_postgresql("SET (gin_pending_list_limit = 256)")  # kB


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        _configure_sqlite(automerge=4, usermerge=4, crisismerge=16)  # FTS5's own
    else:
        _configure_postgresql("RESET (gin_pending_list_limit)")


def _configure_sqlite(**options: int) -> None:
    for table in _TABLES:
        for option, value in options.items():
            op.execute(f"INSERT INTO {table}_fts ({table}_fts, rank) VALUES ('{option}', {value})")


def _configure_postgresql(what: str) -> None:
    for table in _TABLES:
        # where pg_trgm is not available, there is none
        op.execute(f"ALTER INDEX IF EXISTS ix_{table}_folded_trgm {what}")
