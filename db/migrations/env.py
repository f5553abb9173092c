"""Alembic's entry: the same migrations for SQLite and PostgreSQL, through the drivers the server uses."""

import asyncio
import os
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, event, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from db import types
from db.models import Base
from db.urls import normalise_url


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


def run(connection: Connection) -> None:
    options: dict[str, Any] = {"render_as_batch": connection.dialect.name == "sqlite", "transactional_ddl": True}
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


async def main() -> None:
    engine = create_async_engine(normalise_url(database_url()), poolclass=pool.NullPool)
    if engine.dialect.name == "sqlite":
        # tables are made in the transaction too, which nobody else enters meanwhile
        event.listen(engine.sync_engine, "connect", _leave_transactions_to_us)
        event.listen(engine.sync_engine, "begin", _lock_sqlite)
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    context.configure(url=str(normalise_url(database_url())), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(main())
