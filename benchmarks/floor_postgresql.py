"""The floor's statements for PostgreSQL, through asyncpg, which prepares each once a connection."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from uuid_utils import uuid7

from benchmarks.floor_answers import (
    NESTED_COLUMNS,
    PROJECT_COLUMNS,
    TASK_COLUMNS,
    WRITERS,
    NewTask,
    Related,
    Row,
    Wanted,
    grouped,
)

SETTINGS = {"timezone": "UTC", "jit": "off", "plan_cache_mode": "force_generic_plan"}
"""Each statement is planned once a connection."""
LIVE = (
    "SELECT 1 FROM sessions s JOIN users u ON u.id = s.user_id "
    "WHERE s.id = $1 AND s.ended_at IS NULL AND u.id = $2 AND NOT u.disabled"
)
ONE = (
    f"SELECT {TASK_COLUMNS} FROM tasks t JOIN projects p ON p.id = t.project_id "  # noqa: S608 - made of constants
    "JOIN memberships m ON m.project_id = t.project_id AND m.user_id = $1 WHERE t.id = $2 AND t.deleted_at IS NULL"
)


def _list(columns: str, condition: str = "", *, end: str = "DESC", also: str = "") -> str:
    """The first rows of the caller's projects, by an index alone: of the projects that lead, then of these rows; only
    what is answered is looked up in the table. A plan that is the same for ten tasks and for ten million, whatever is
    expected of them: none of these laterals can be made a join of whole tables."""
    order = f"created_at {end}, id {end}"
    keys = f"SELECT id, created_at FROM tasks WHERE project_id = m.project_id AND deleted_at IS NULL{condition}"  # noqa: S608
    leading = (
        f"SELECT m.project_id{', g.id AS tag_id' if also else ''} FROM memberships m {also}"  # noqa: S608
        f"CROSS JOIN LATERAL ({keys} ORDER BY {order} LIMIT 1) k "
        f"WHERE m.user_id = $1 ORDER BY k.created_at {end}, k.id {end} LIMIT $2"
    )
    keys = keys.replace("g.id", "m.tag_id")
    first = (
        f"SELECT k.* FROM ({leading}) m CROSS JOIN LATERAL ({keys} ORDER BY {order} LIMIT $2) k "  # noqa: S608
        f"ORDER BY k.created_at {end}, k.id {end} LIMIT $2"
    )
    return _answered(columns, first, end)


def _answered(columns: str, first: str, end: str = "DESC") -> str:
    """The columns of the tasks whose keys a statement has."""
    return (
        f"SELECT {columns} FROM ({first}) first "  # noqa: S608 - made of constants
        "CROSS JOIN LATERAL (SELECT * FROM tasks WHERE tasks.id = first.id OFFSET 0) t "
        "CROSS JOIN LATERAL (SELECT * FROM projects WHERE projects.id = t.project_id OFFSET 0) p "
        f"ORDER BY first.created_at {end}, first.id {end}"
    )


NEWEST = _list(TASK_COLUMNS)
FILTERED = _list(TASK_COLUMNS, " AND status = ANY($3) AND priority = ANY($4)")
OPEN = _list(TASK_COLUMNS, " AND status = 'pending'", end="ASC")
TAGGED = _list(
    TASK_COLUMNS,
    " AND EXISTS (SELECT 1 FROM task_tags l WHERE l.task_id = tasks.id AND l.tag_id = g.id OFFSET 0)",
    also="JOIN tags g ON g.project_id = m.project_id AND g.name_folded = $3 ",
)
MINE = _answered(
    TASK_COLUMNS,
    "SELECT t.id, t.created_at FROM task_assignees a "
    "CROSS JOIN LATERAL (SELECT * FROM tasks WHERE tasks.id = a.task_id AND deleted_at IS NULL OFFSET 0) t "
    "JOIN memberships m ON m.project_id = t.project_id AND m.user_id = $1 WHERE a.user_id = $1 "
    "ORDER BY t.created_at DESC, t.id DESC LIMIT $2",
)
NESTED = _list(NESTED_COLUMNS)
PROJECTS = f"SELECT {PROJECT_COLUMNS} FROM projects p JOIN memberships m ON m.project_id = p.id WHERE m.user_id = $1"  # noqa: S608
ASSIGNEES = (
    "SELECT a.task_id, u.id, u.username, u.full_name FROM task_assignees a JOIN users u ON u.id = a.user_id "
    "WHERE a.task_id = ANY($1) ORDER BY u.id"
)
TAGS = (
    "SELECT l.task_id, g.id, g.project_id, g.name, g.color FROM task_tags l JOIN tags g ON g.id = l.tag_id "
    "WHERE l.task_id = ANY($1) ORDER BY g.name_folded, g.id"
)
NEXT_NUMBER = (
    "UPDATE projects SET last_number = last_number + 1 WHERE id = $1 AND archived_at IS NULL AND EXISTS "  # noqa: S608
    f"(SELECT 1 FROM memberships WHERE project_id = $1 AND user_id = $2 AND role IN {WRITERS}) RETURNING last_number"
)
INSERT_TASK = (
    "INSERT INTO tasks (project_id, number, title, description, status, priority, due_at, created_by_id, version, "
    "created_at, updated_at) VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, 1, $8, $8) RETURNING id"
)
INSERT_TEXT = "INSERT INTO task_texts (task_id, folded, project_id) VALUES ($1, $2, $3)"
INSERT_EVENT = (
    "INSERT INTO events (event_id, occurred_at, kind, entity_type, entity_id, entity_version, project_id, task_id, "
    "actor_id, actor_method, request_id, notify, changes) "
    "VALUES ($1, $2, 'task.created', 'task', $3, 1, $4, $3, $5, 'token', $6, true, $7)"
)


class PostgresqlStore:
    """A pool of connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None

    async def open(self) -> None:
        try:
            import asyncpg  # type: ignore[import-untyped]  # it has no types
        except ImportError:
            raise SystemExit("The floor needs asyncpg on PostgreSQL: pip install -r requirements-dev.txt") from None
        size = int(os.environ["DATABASE_POOL_SIZE"])
        self._pool = await asyncpg.create_pool(
            self._url, min_size=size, max_size=size, server_settings=SETTINGS, reset=_no_reset
        )

    async def close(self) -> None:
        await self._pool.close()

    async def is_live(self, session_id: int, user_id: int) -> bool:
        return await self._pool.fetchrow(LIVE, session_id, user_id) is not None

    async def task(self, user_id: int, task_id: int) -> Row | None:
        row: Row | None = await self._pool.fetchrow(ONE, user_id, task_id)
        return row

    async def tasks(self, user_id: int, limit: int, wanted: Wanted) -> Sequence[Row]:
        """The newest tasks, or the oldest, that are wanted."""
        rows: Sequence[Row]
        if wanted.is_oldest_first:
            rows = await self._pool.fetch(OPEN, user_id, limit)
        elif wanted.statuses:
            rows = await self._pool.fetch(FILTERED, user_id, limit, wanted.statuses, wanted.priorities)
        elif wanted.is_mine:
            rows = await self._pool.fetch(MINE, user_id, limit)
        elif wanted.tag:
            rows = await self._pool.fetch(TAGGED, user_id, limit, wanted.tag)
        else:
            rows = await self._pool.fetch(NEWEST, user_id, limit)
        return rows

    async def nested_tasks(self, user_id: int, limit: int) -> Sequence[Row]:
        """The newest tasks: ``NESTED_COLUMNS``."""
        rows: Sequence[Row] = await self._pool.fetch(NESTED, user_id, limit)
        return rows

    async def related(self, user_id: int, ids: Sequence[int]) -> Related:
        """What hangs on tasks that the caller may see."""
        async with self._pool.acquire() as connection:
            projects = await connection.fetch(PROJECTS, user_id)
            assignees = await connection.fetch(ASSIGNEES, ids)
            tags = await connection.fetch(TAGS, ids)
        return Related({row[0]: row for row in projects}, grouped(ids, assignees), grouped(ids, tags))

    async def create(self, user_id: int, new: NewTask) -> Row:
        """The new task. Raises ``TypeError`` for a project that the caller may not write to."""
        moment = datetime.now(UTC)
        due_at = datetime.fromisoformat(new.due_at)
        async with self._pool.acquire() as connection, connection.transaction():
            number = await connection.fetchval(NEXT_NUMBER, new.project_id, user_id)
            if number is None:
                raise PermissionError
            values = (new.project_id, number, new.title, new.description, new.priority, due_at, user_id, moment)
            task_id = await connection.fetchval(INSERT_TASK, *values)
            await connection.execute(INSERT_TEXT, task_id, new.folded, new.project_id)
            changes = orjson.dumps(new.changes(number)).decode()
            event = (str(uuid7()), moment, task_id, new.project_id, user_id, str(uuid7()), changes)
            await connection.execute(INSERT_EVENT, *event)
            row: Row = await connection.fetchrow(ONE, user_id, task_id)
        return row


async def _no_reset(_connection: Any) -> None:
    """Nothing that these statements do to a session outlives them, so a connection need not be reset: a round trip."""
