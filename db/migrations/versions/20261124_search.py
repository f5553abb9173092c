"""indexed search, also of comments

On PostgreSQL the indexes need the extension pg_trgm. Where it cannot be installed the migration goes on without them:
search then answers the same, by reading every text.

Revision ID: 0003
Revises: 0002
"""

import logging
import unicodedata

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BATCH = 500
_TEXTS = {"task_texts": "task_id", "comment_texts": "comment_id"}


def upgrade() -> None:
    op.create_table(
        "comment_texts",
        sa.Column("comment_id", sa.Integer(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["comment_id"], ["comments.id"], name=op.f("fk_comment_texts_comment_id_comments"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("comment_id", name=op.f("pk_comment_texts")),
    )
    if not op.get_context().as_sql:
        _fill(op.get_bind())
    if op.get_context().dialect.name == "sqlite":
        _index_sqlite()
    else:
        _index_postgresql()


def downgrade() -> None:
    # the extension stays: others may use it
    if op.get_context().dialect.name == "sqlite":
        for table in _TEXTS:
            for event in ("insert", "update", "delete"):
                op.execute(f"DROP TRIGGER {table}_fts_{event}")
            op.execute(f"DROP TABLE {table}_fts")
    else:
        for table in _TEXTS:
            op.execute(f"DROP INDEX IF EXISTS ix_{table}_folded_trgm")
    op.drop_table("comment_texts")


def _fill(connection: sa.Connection) -> None:
    comments = sa.table("comments", sa.column("id", sa.Integer), sa.column("body", sa.Text))
    texts = sa.table("comment_texts", sa.column("comment_id", sa.Integer), sa.column("folded", sa.Text))
    page = sa.select(comments.c.id, comments.c.body).order_by(comments.c.id).limit(_BATCH)
    last = 0
    while rows := connection.execute(page.where(comments.c.id > last)).all():
        # as the service folds
        folded = [{"comment_id": row.id, "folded": unicodedata.normalize("NFC", row.body).casefold()} for row in rows]
        connection.execute(sa.insert(texts), folded)
        last = rows[-1].id


def _index_sqlite() -> None:
    for table, key in _TEXTS.items():
        fts = f"{table}_fts"
        op.execute(
            f"CREATE VIRTUAL TABLE {fts} USING fts5"
            f"(folded, content='{table}', content_rowid='{key}', tokenize='trigram case_sensitive 1')"
        )
        op.execute(f"INSERT INTO {fts} ({fts}) VALUES ('rebuild')")
        # an index over another table's text has to be told the old text to forget it
        add = f"INSERT INTO {fts} (rowid, folded) VALUES (new.{key}, new.folded);"
        forget = f"INSERT INTO {fts} ({fts}, rowid, folded) VALUES ('delete', old.{key}, old.folded);"
        for event, when, what in (
            ("insert", "INSERT", add),
            ("update", f"UPDATE OF {key}, folded", forget + " " + add),
            ("delete", "DELETE", forget),
        ):
            op.execute(f"CREATE TRIGGER {fts}_{event} AFTER {when} ON {table} BEGIN {what} END")


def _index_postgresql() -> None:
    statements = ["CREATE EXTENSION IF NOT EXISTS pg_trgm"] + [
        f"CREATE INDEX ix_{table}_folded_trgm ON {table} USING gin (folded gin_trgm_ops)" for table in _TEXTS
    ]
    if op.get_context().as_sql:
        for statement in statements:
            op.execute(statement)
        return
    connection = op.get_bind()
    try:
        with connection.begin_nested():  # what is refused must not end the migration's transaction
            for statement in statements:
                connection.execute(sa.text(statement))
    except DBAPIError as error:
        # lacking (0A000, 58P01, 42704), or not for this role (42501); anything else is a failure
        if getattr(error.orig, "sqlstate", None) not in ("0A000", "58P01", "42704", "42501"):
            raise
        logging.getLogger("alembic.runtime.migration").warning(
            "search goes on without an index: the extension pg_trgm is not available to this role (%s)",
            str(error.orig).splitlines()[0],
        )
