"""the search indexes know each text's project, so that a search reads nothing of what its caller may not read

Until now they were one list of trigrams for everybody: looking for a word cost as much as all the texts that hold its
trigrams, whosesoever they are. On PostgreSQL the project becomes a column of the index, on SQLite a trigram of its own
before each text, whose index no longer keeps where in a text a trigram stands: what is found is compared with the text
anyway, and the index is a third as large.

Texts keep their project up to date by themselves: servers of the version before this one write them without, and a task
may come to move.

Revision ID: 0008
Revises: 0007
"""

import logging

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# the table of texts, its key, and the project of what the key names
_TEXTS = {
    "task_texts": ("task_id", "SELECT project_id FROM tasks WHERE id = {0}.task_id"),
    "comment_texts": (
        "comment_id",
        "SELECT tasks.project_id FROM comments JOIN tasks ON tasks.id = comments.task_id "
        "WHERE comments.id = {0}.comment_id",
    ),
}
_MOVED = {
    "task_texts": "task_id = new.id",
    "comment_texts": "comment_id IN (SELECT id FROM comments WHERE task_id = new.id)",
}
_STEPS = "gin_pending_list_limit = 256"  # kB, as 0005 has it


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        _drop_sqlite(("insert", "update", "delete"))
        _add_projects()
        _index_sqlite()
    else:
        for table in _TEXTS:
            op.execute(f"DROP INDEX IF EXISTS ix_{table}_folded_trgm")
        _add_projects()
        _follow_postgresql()
        _index_postgresql(dict.fromkeys(_TEXTS, "(ARRAY[project_id]), folded gin_trgm_ops"), "_project_id")


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TRIGGER tasks_project_id_texts")
        _drop_sqlite(("fill", "insert", "update", "delete"))
        _drop_projects()
        _index_sqlite_as_before()
    else:
        op.execute("DROP TRIGGER tasks_project_id_texts ON tasks")
        op.execute("DROP FUNCTION tandem_texts_move()")
        for table in _TEXTS:
            op.execute(f"DROP TRIGGER {table}_project_id ON {table}")
            op.execute(f"DROP FUNCTION tandem_{table}_project_id()")
            op.execute(f"DROP INDEX IF EXISTS ix_{table}_project_id_folded_trgm")
        _drop_projects()
        _index_postgresql(dict.fromkeys(_TEXTS, "folded gin_trgm_ops"), "")


def _add_projects() -> None:
    for table, (_, project) in _TEXTS.items():
        op.add_column(table, sa.Column("project_id", sa.Integer(), nullable=True))
        op.execute(f"UPDATE {table} SET project_id = ({project.format(table)})")


def _drop_projects() -> None:
    for table in _TEXTS:
        op.drop_column(table, "project_id")


def _follow_postgresql() -> None:
    for table, (_, project) in _TEXTS.items():
        op.execute(
            f"CREATE FUNCTION tandem_{table}_project_id() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN NEW.project_id := ({project.format('NEW')}); RETURN NEW; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_project_id BEFORE INSERT ON {table} FOR EACH ROW "
            f"WHEN (NEW.project_id IS NULL) EXECUTE FUNCTION tandem_{table}_project_id()"
        )
    moves = " ".join(
        f"UPDATE {table} SET project_id = new.project_id WHERE {whose};" for table, whose in _MOVED.items()
    )
    op.execute(
        f"CREATE FUNCTION tandem_texts_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {moves} RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER tasks_project_id_texts AFTER UPDATE OF project_id ON tasks FOR EACH ROW "
        "WHEN (OLD.project_id <> NEW.project_id) EXECUTE FUNCTION tandem_texts_move()"
    )


def _index_postgresql(columns: dict[str, str], name: str) -> None:
    statements = [
        f"CREATE INDEX ix_{table}{name}_folded_trgm ON {table} USING gin ({indexed}) WITH ({_STEPS})"
        for table, indexed in columns.items()
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
        # no pg_trgm in this database (42704), where 0003 has already gone on without
        if getattr(error.orig, "sqlstate", None) != "42704":
            raise
        logging.getLogger("alembic.runtime.migration").warning(
            "search goes on without an index: this database has no extension pg_trgm"
        )


def _mark(project: str) -> str:
    """Three characters before a text: a trigram that all texts of a project have, and no others.

    The characters are ones that no text in NFC has (CJK compatibility ideographs), 512 of them.
    """
    digits = (f"{0x2F800} + (({project} >> {shift}) & 511)" for shift in (0, 9, 18))
    return f"char({', '.join(digits)})"


def _index_sqlite() -> None:
    for table, (key, project) in _TEXTS.items():
        fts = f"{table}_fts"
        op.execute(
            f"CREATE VIRTUAL TABLE {fts} USING fts5"
            "(folded, content='', detail=none, tokenize='trigram case_sensitive 1')"
        )
        _configure_sqlite(fts)
        op.execute(
            f"INSERT INTO {fts} (rowid, folded) SELECT {key}, {_mark('project_id')} || folded FROM {table} "
            f"WHERE project_id IS NOT NULL ORDER BY {key}"
        )
        add = (
            f"INSERT INTO {fts} (rowid, folded) SELECT new.{key}, {_mark('new.project_id')} || new.folded "
            "WHERE new.project_id IS NOT NULL;"
        )
        # an index without texts has to be told the old text to forget it
        forget = (
            f"INSERT INTO {fts} ({fts}, rowid, folded) "
            f"SELECT 'delete', old.{key}, {_mark('old.project_id')} || old.folded WHERE old.project_id IS NOT NULL;"
        )
        fill = f"UPDATE {table} SET project_id = ({project.format('new')}) WHERE {key} = new.{key};"
        for event, when, what in (
            ("fill", f"INSERT ON {table} WHEN new.project_id IS NULL", fill),
            ("insert", f"INSERT ON {table} WHEN new.project_id IS NOT NULL", add),
            ("update", f"UPDATE OF {key}, project_id, folded ON {table}", f"{forget} {add}"),
            ("delete", f"DELETE ON {table}", forget),
        ):
            op.execute(f"CREATE TRIGGER {fts}_{event} AFTER {when} BEGIN {what} END")
    moves = " ".join(
        f"UPDATE {table} SET project_id = new.project_id WHERE {whose};" for table, whose in _MOVED.items()
    )
    op.execute(
        "CREATE TRIGGER tasks_project_id_texts AFTER UPDATE OF project_id ON tasks "
        f"WHEN old.project_id <> new.project_id BEGIN {moves} END"
    )


def _drop_sqlite(events: tuple[str, ...]) -> None:
    for table in _TEXTS:
        for event in events:
            op.execute(f"DROP TRIGGER {table}_fts_{event}")
        op.execute(f"DROP TABLE {table}_fts")


def _index_sqlite_as_before() -> None:
    for table, (key, _) in _TEXTS.items():
        fts = f"{table}_fts"
        op.execute(
            f"CREATE VIRTUAL TABLE {fts} USING fts5"
            f"(folded, content='{table}', content_rowid='{key}', tokenize='trigram case_sensitive 1')"
        )
        _configure_sqlite(fts)
        op.execute(f"INSERT INTO {fts} ({fts}) VALUES ('rebuild')")
        add = f"INSERT INTO {fts} (rowid, folded) VALUES (new.{key}, new.folded);"
        forget = f"INSERT INTO {fts} ({fts}, rowid, folded) VALUES ('delete', old.{key}, old.folded);"
        for event, when, what in (
            ("insert", "INSERT", add),
            ("update", f"UPDATE OF {key}, folded", forget + " " + add),
            ("delete", "DELETE", forget),
        ):
            op.execute(f"CREATE TRIGGER {fts}_{event} AFTER {when} ON {table} BEGIN {what} END")


def _configure_sqlite(fts: str) -> None:
    for option, value in {"automerge": 0, "usermerge": 8, "crisismerge": 64}.items():  # as 0005 has it
        op.execute(f"INSERT INTO {fts} ({fts}, rank) VALUES ('{option}', {value})")
