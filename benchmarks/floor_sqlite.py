"""The floor's statements for SQLite, run in place: they take microseconds, a thread would cost more."""

import re
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

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

PRAGMAS = (
    "busy_timeout = 15000",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "cache_size = -16000",
    "temp_store = MEMORY",
)
"""Those of the server."""


def _as_sent(columns: str) -> str:
    """The columns, with instants as they are sent: without microseconds where there are none."""
    return re.sub(r"\w\.\w+_at\b", r"replace(\g<0>, '.000000Z', 'Z')", columns)


TASK, PROJECT = _as_sent(TASK_COLUMNS), _as_sent(PROJECT_COLUMNS)
LIVE = (
    "SELECT 1 FROM sessions s JOIN users u ON u.id = s.user_id "
    "WHERE s.id = ? AND s.ended_at IS NULL AND u.id = ? AND NOT u.disabled"
)
ONE = (
    f"SELECT {TASK} FROM tasks t JOIN projects p ON p.id = t.project_id "  # noqa: S608 - made of constants
    "JOIN memberships m ON m.project_id = t.project_id AND m.user_id = ? WHERE t.id = ? AND t.deleted_at IS NULL"
)
MINE = "SELECT project_id FROM memberships WHERE user_id = ?"
LEADING = (
    "SELECT m.project_id FROM memberships m JOIN tasks h ON h.id = (SELECT t.id FROM tasks t WHERE "
    "t.project_id = m.project_id AND t.deleted_at IS NULL ORDER BY t.created_at DESC, t.id DESC LIMIT 1) "
    "WHERE m.user_id = ? ORDER BY h.created_at DESC, h.id DESC LIMIT ?"
)
# one index scan a project, newest first, merged: the sorted list of all tasks is never made
PART = "SELECT t.id, t.created_at FROM tasks t WHERE t.project_id = ? AND t.deleted_at IS NULL"
ASSIGNED = (
    "SELECT t.id, t.created_at FROM task_assignees a CROSS JOIN tasks t ON t.id = a.task_id WHERE a.user_id = ?1 "  # noqa: S608
    f"AND t.deleted_at IS NULL AND t.project_id IN ({MINE.replace('?', '?1')})"
)
HAS_TAG = (
    " AND EXISTS (SELECT 1 FROM task_tags l CROSS JOIN tags g ON g.id = l.tag_id "
    "WHERE l.task_id = t.id AND g.name_folded = ?)"
)
NEWEST = "FROM (%s ORDER BY 2 DESC, 1 DESC LIMIT ?) newest CROSS JOIN tasks t ON t.id = newest.id"
LIST = f"SELECT {TASK} {NEWEST} CROSS JOIN projects p ON p.id = t.project_id"
OLDEST = LIST.replace("DESC", "ASC")
NESTED = f"SELECT {NESTED_COLUMNS} {NEWEST}"
PROJECTS = f"SELECT {PROJECT} FROM projects p JOIN memberships m ON m.project_id = p.id WHERE m.user_id = ?"  # noqa: S608
ASSIGNEES = (
    "SELECT a.task_id, u.id, u.username, u.full_name FROM task_assignees a JOIN users u ON u.id = a.user_id "
    "WHERE a.task_id IN (%s) ORDER BY u.id"
)
TAGS = (
    "SELECT l.task_id, g.id, g.project_id, g.name, g.color FROM task_tags l JOIN tags g ON g.id = l.tag_id "
    "WHERE l.task_id IN (%s) ORDER BY g.name_folded, g.id"
)
NEXT_NUMBER = (
    "UPDATE projects SET last_number = last_number + 1 WHERE id = ?1 AND archived_at IS NULL AND EXISTS "  # noqa: S608
    f"(SELECT 1 FROM memberships WHERE project_id = ?1 AND user_id = ?2 AND role IN {WRITERS}) RETURNING last_number"
)
INSERT_TASK = (
    "INSERT INTO tasks (project_id, number, title, description, status, priority, due_at, created_by_id, version, "
    "created_at, updated_at) VALUES (?, ?, ?, ?, 'pending', ?, ?, ?, 1, ?, ?) RETURNING id"
)
INSERT_TEXT = "INSERT INTO task_texts (task_id, folded, project_id) VALUES (?, ?, ?)"
INSERT_EVENT = (
    "INSERT INTO events (event_id, occurred_at, kind, entity_type, entity_id, entity_version, project_id, task_id, "
    "actor_id, actor_method, request_id, notify, changes) "
    "VALUES (?, ?, 'task.created', 'task', ?, 1, ?, ?, ?, 'token', ?, 1, ?)"
)


class SqliteStore:
    """One connection, on the event loop."""

    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, cached_statements=512)

    async def open(self) -> None:
        for pragma in PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")

    async def close(self) -> None:
        self._connection.close()

    async def is_live(self, session_id: int, user_id: int) -> bool:
        return self._connection.execute(LIVE, (session_id, user_id)).fetchone() is not None

    async def task(self, user_id: int, task_id: int) -> Row | None:
        row: Row | None = self._connection.execute(ONE, (user_id, task_id)).fetchone()
        return row

    async def tasks(self, user_id: int, limit: int, wanted: Wanted) -> Sequence[Row]:
        """The newest tasks, or the oldest, that are wanted."""
        if wanted.is_mine:
            return self._connection.execute(LIST % ASSIGNED, (user_id, limit)).fetchall()
        part, values = PART, (*wanted.priorities, *((wanted.tag,) if wanted.tag else ()))
        if wanted.statuses:
            # of constants: an index that has only those is found by them
            part += f" AND t.status = '{wanted.statuses[0]}'"
        if wanted.priorities:
            part += f" AND t.priority IN ({_marks(wanted.priorities)})"
        if wanted.tag:
            part += HAS_TAG
        mine = self._mine(user_id, None if values or wanted.statuses else limit)
        arguments = [value for project_id in mine for value in (project_id, *values)]
        statement = (OLDEST if wanted.is_oldest_first else LIST) % " UNION ALL ".join([part] * len(mine))
        return self._connection.execute(statement, (*arguments, limit)).fetchall()

    async def nested_tasks(self, user_id: int, limit: int) -> Sequence[Row]:
        """The newest tasks: ``NESTED_COLUMNS``."""
        mine = self._mine(user_id, limit)
        statement = NESTED % " UNION ALL ".join([PART] * len(mine))
        return self._connection.execute(statement, (*mine, limit)).fetchall()

    def _mine(self, user_id: int, limit: int | None) -> list[int]:
        """The caller's projects; of more than ``limit``, those that so many of the newest tasks are in."""
        mine = [project_id for (project_id,) in self._connection.execute(MINE, (user_id,))]
        if limit is None or len(mine) <= limit:
            return mine
        return [project_id for (project_id,) in self._connection.execute(LEADING, (user_id, limit))]

    async def related(self, user_id: int, ids: Sequence[int]) -> Related:
        """What hangs on tasks that the caller may see."""
        marks = _marks(ids)
        return Related(
            {row[0]: row for row in self._connection.execute(PROJECTS, (user_id,))},
            grouped(ids, self._connection.execute(ASSIGNEES % marks, ids).fetchall()),
            grouped(ids, self._connection.execute(TAGS % marks, ids).fetchall()),
        )

    async def create(self, user_id: int, new: NewTask) -> Row:
        """The new task. Raises ``TypeError`` for a project that the caller may not write to."""
        run = self._connection.execute
        moment = datetime.now(UTC).isoformat(timespec="microseconds")[:26] + "Z"
        due_at = datetime.fromisoformat(new.due_at).astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
        run("BEGIN IMMEDIATE")
        try:
            (number,) = run(NEXT_NUMBER, (new.project_id, user_id)).fetchone()
            values = (new.project_id, number, new.title, new.description, new.priority, due_at, user_id, moment, moment)
            (task_id,) = run(INSERT_TASK, values).fetchone()
            run(INSERT_TEXT, (task_id, new.folded, new.project_id))
            changes = orjson.dumps(new.changes(number)).decode()
            event = (str(uuid7()), moment, task_id, new.project_id, task_id, user_id, str(uuid7()), changes)
            run(INSERT_EVENT, event)
            row: Row = run(ONE, (user_id, task_id)).fetchone()
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise
        return row


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
