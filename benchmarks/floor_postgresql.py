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
    grouped,
)

LIVE = (
    "SELECT 1 FROM sessions s JOIN users u ON u.id = s.user_id "
    "WHERE s.id = $1 AND s.ended_at IS NULL AND u.id = $2 AND NOT u.disabled"
)
ONE = (
    f"SELECT {TASK_COLUMNS} FROM tasks t JOIN projects p ON p.id = t.project_id "  # noqa: S608 - made of constants
    "JOIN memberships m ON m.project_id = t.project_id AND m.user_id = $1 WHERE t.id = $2 AND t.deleted_at IS NULL"
)
# the newest of each project, then the newest of these: the sorted list of all tasks is never made
LIST = (
    "FROM memberships m JOIN projects p ON p.id = m.project_id CROSS JOIN LATERAL ("
    "SELECT * FROM tasks WHERE project_id = m.project_id AND deleted_at IS NULL%s "
    "ORDER BY created_at DESC, id DESC LIMIT $2) t "
    "WHERE m.user_id = $1 ORDER BY t.created_at DESC, t.id DESC LIMIT $2"
)
NEWEST = f"SELECT {TASK_COLUMNS} {LIST % ''}"
FILTERED = f"SELECT {TASK_COLUMNS} {LIST % ' AND status = ANY($3) AND priority = ANY($4)'}"
NESTED = f"SELECT {NESTED_COLUMNS} {LIST % ''}"
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
            self._url, min_size=size, max_size=size, server_settings={"timezone": "UTC"}, reset=_no_reset
        )

    async def close(self) -> None:
        await self._pool.close()

    async def is_live(self, session_id: int, user_id: int) -> bool:
        return await self._pool.fetchrow(LIVE, session_id, user_id) is not None

    async def task(self, user_id: int, task_id: int) -> Row | None:
        row: Row | None = await self._pool.fetchrow(ONE, user_id, task_id)
        return row

    async def tasks(
        self, user_id: int, limit: int, statuses: Sequence[str], priorities: Sequence[int]
    ) -> Sequence[Row]:
        """The newest tasks, with one of the statuses and priorities where there are any."""
        rows: Sequence[Row]
        if statuses:
            rows = await self._pool.fetch(FILTERED, user_id, limit, statuses, priorities)
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
