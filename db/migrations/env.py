"""Alembic's entry: the same migrations for SQLite and PostgreSQL, through the drivers the server uses."""

import logging
import os
import re
from collections.abc import Callable
from typing import Any, Literal

from alembic import context
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import Connection, create_engine, event, pool, text
from sqlalchemy.exc import DBAPIError

from core import logs, refused_settings
from db import diagnosis
from db.driver import types
from db.driver.urls import normalise_url
from db.models import Base

_NEWER = re.compile(r"Can't locate revision identified by '(?P<revision>[^']*)'")


def database_url() -> str:
    """The URL given by a caller, else that of the settings; the secrets are not needed to migrate."""
    given = context.config.attributes.get("database_url")
    if given:
        return str(given)
    if os.environ.get("DATABASE_URL"):
        return os.environ["DATABASE_URL"]
    from core.settings import get_settings

    return get_settings().database_url


def render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Our own types by their names, so that a migration reads as the models do."""
    if kind == "type":
        if isinstance(item, types.UtcDateTime):
            return "types.UtcDateTime()"
        for name in ("BigId", "Json"):
            if item is getattr(types, name):
                return f"types.{name}"
    return False


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Not the search indexes, which are each database's own and no part of the models."""
    if kind == "table":
        return "_texts_fts" not in (name or "")
    return not (kind == "index" and (name or "").endswith("_folded_trgm"))


class _ForeignKeys:
    """Compares foreign keys on SQLite by what it says of them itself: SQLAlchemy does not read the options of one that
    stands with its column, as those do that a migration has added to a table in place."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def include_object(self, item: Any, _name: object, kind: str, _reflected: object, _other: object) -> bool:
        """False for a foreign key that is the same in the models and in the database."""
        if kind != "foreign_key_constraint":
            return True
        table = item.table.name
        statement = text('SELECT "from", "table", "to", on_delete FROM pragma_foreign_key_list(:name)')
        there = {tuple(row) for row in self._connection.execute(statement, {"name": table})}
        wanted = {
            (each.parent.name, each.column.table.name, each.column.name, each.ondelete or "NO ACTION")
            for each in Base.metadata.tables[table].foreign_keys
        }
        return not {column.name for column in item.columns} <= {row[0] for row in there & wanted}


def run(connection: Connection) -> None:
    options: dict[str, Any] = {"render_as_batch": connection.dialect.name == "sqlite", "transactional_ddl": True}
    if connection.dialect.name == "sqlite":
        options["include_object"] = _ForeignKeys(connection).include_object
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_item=render_item,
        include_name=include_name,
        **options,
    )
    # two deployments may start at once: the second waits, then finds nothing to do
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(7264701)"))
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.run_migrations()


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 60000")


def _lock_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def main() -> None:
    engine = create_engine(normalise_url(database_url()), poolclass=pool.NullPool)
    if engine.dialect.name == "sqlite":
        # tables are made in the transaction too, which nobody else enters meanwhile
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _lock_sqlite)
    with engine.connect() as connection:
        run(connection)
        connection.commit()
    engine.dispose()


def offline() -> None:
    context.configure(url=str(normalise_url(database_url())), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def from_the_command_line(work: Callable[[], None]) -> None:
    """Say what is in the way in a sentence, and end."""
    logs.configure("INFO")
    # of what it tells, which migrations are run
    logging.getLogger("alembic.runtime.migration").addFilter(lambda record: str(record.msg).startswith("Running"))
    try:
        work()
    except ValidationError as error:
        raise SystemExit(f"Cannot migrate: {refused_settings.explain(error)}") from None
    except (UnicodeDecodeError, OSError) as error:
        raise SystemExit(f"Cannot migrate: {refused_settings.unreadable() or error}") from None
    except ValueError as error:  # of the URL
        raise SystemExit(f"Cannot migrate: {error}") from None
    except DBAPIError as error:
        raise SystemExit(f"Cannot migrate: {diagnosis.explain(normalise_url(database_url()), error)}") from None
    except CommandError as error:
        known = _NEWER.search(str(error))
        sentence = diagnosis.of_revision(known["revision"]) if known else str(error)
        raise SystemExit(f"Cannot migrate: {sentence}") from None


work = offline if context.is_offline_mode() else main
if getattr(context.config, "cmd_opts", None) is None:
    work()
else:
    from_the_command_line(work)
