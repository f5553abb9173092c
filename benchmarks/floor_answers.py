"""What the floor answers, made of rows."""

import unicodedata
from base64 import b64decode
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = Sequence[Any]

TASK_COLUMNS = (
    "t.id, t.project_id, p.key, t.number, t.title, t.description, t.status, t.priority, t.start_at, t.due_at, "
    "t.completed_at, t.parent_id, t.created_by_id, t.version, t.created_at, t.updated_at, t.deleted_at, "
    "t.milestone_id, t.external_source, t.external_id, t.start_all_day, t.due_all_day"
)
NESTED_COLUMNS = "t.id, t.project_id, t.title, t.status, t.priority"
"""All that is shown of a task together with its relations on GraphQL."""
PROJECT_COLUMNS = (
    "p.id, p.key, p.name, p.description, p.inbox_of_id IS NOT NULL, m.role, p.version, p.created_at, p.updated_at, "
    "p.archived_at, p.external_source, p.external_id"
)
WRITERS = "('owner', 'admin', 'member')"
"""The roles that may create tasks."""


class NewTask(NamedTuple):
    """What a client sends of a new task; the instant as RFC 3339 in UTC."""

    project_id: int
    title: str
    description: str
    priority: int
    due_at: str

    @property
    def folded(self) -> str:
        """What search reads of it."""
        return unicodedata.normalize("NFC", f"{self.title}\n{self.description}").casefold()

    def changes(self, number: int) -> dict[str, list[Any]]:
        """What the event of its making says."""
        return {
            "title": [None, self.title],
            "description": [None, self.description],
            "status": [None, "pending"],
            "priority": [None, self.priority],
            "due_at": [None, self.due_at],
            "number": [None, number],
        }


class Wanted(NamedTuple):
    """Which tasks a list has: those with one of the statuses and priorities, where there are any."""

    statuses: Sequence[str] = ()
    priorities: Sequence[int] = ()
    is_oldest_first: bool = False
    """As the lists of the tasks that are to be done are: of no other status."""
    is_mine: bool = False
    """Whether they are assigned to the caller."""
    tag: str | None = None


class Related(NamedTuple):
    """What hangs on tasks."""

    projects: Mapping[int, Row]
    """By id: ``PROJECT_COLUMNS``."""
    assignees: Mapping[int, Sequence[Row]]
    """By task: task_id, id, username, full_name."""
    tags: Mapping[int, Sequence[Row]]
    """By task: task_id, id, project_id, name, color."""


def grouped(ids: Sequence[int], rows: Sequence[Row]) -> dict[int, list[Row]]:
    """The rows by their first column."""
    groups: dict[int, list[Row]] = {each: [] for each in ids}
    for row in rows:
        groups[row[0]].append(row)
    return groups


def node_id(type_name: bytes, number: int) -> str:
    return b2a_base64(b"%s:%d" % (type_name, number), newline=False).decode()


def number_in(node: str) -> int:
    """The database id in a node id."""
    return int(b64decode(node).partition(b":")[2])


def day(instant: Any) -> str:
    """Of an instant that stands for one."""
    return str(instant)[:10]


def rest_task(row: Row) -> dict[str, Any]:
    (
        id_,
        project_id,
        key,
        number,
        title,
        description,
        status,
        priority,
        start_at,
        due_at,
        completed_at,
        parent_id,
        created_by_id,
        version,
        created_at,
        updated_at,
        deleted_at,
        milestone_id,
        external_source,
        external_id,
        starts_on_day,
        due_on_day,
    ) = row
    return {
        "id": id_,
        "node_id": node_id(b"Task", id_),
        "ref": f"{key}-{number}",
        "number": number,
        "project_id": project_id,
        "title": title,
        "description": description,
        "status": status,
        "priority": priority,
        "start_at": None if starts_on_day else start_at,
        "start_on": day(start_at) if starts_on_day else None,
        "due_at": None if due_on_day else due_at,
        "due_on": day(due_at) if due_on_day else None,
        "completed_at": completed_at,
        "parent_id": parent_id,
        "milestone_id": milestone_id,
        "created_by_id": created_by_id,
        "external_source": external_source,
        "external_id": external_id,
        "version": version,
        "created_at": created_at,
        "updated_at": updated_at,
        "deleted_at": deleted_at,
    }


def rest_tasks_with_relations(rows: Sequence[Row], related: Related) -> list[dict[str, Any]]:
    projects = {id_: rest_project(row) for id_, row in related.projects.items()}
    answers = []
    for row in rows:
        answer = rest_task(row)
        answer["project"] = projects[row[1]]
        answer["assignees"] = [
            {"id": id_, "node_id": node_id(b"User", id_), "username": username, "full_name": full_name}
            for _, id_, username, full_name in related.assignees[row[0]]
        ]
        answer["tags"] = [
            {"id": id_, "node_id": node_id(b"Tag", id_), "project_id": project_id, "name": name, "color": color}
            for _, id_, project_id, name, color in related.tags[row[0]]
        ]
        answers.append(answer)
    return answers


def rest_project(row: Row) -> dict[str, Any]:
    id_, key, name, description, is_inbox, role, version, created_at, updated_at, archived_at, *called = row
    external_source, external_id = called
    return {
        "id": id_,
        "node_id": node_id(b"Project", id_),
        "key": key,
        "name": name,
        "description": description,
        "is_inbox": bool(is_inbox),
        "role": role,
        "external_source": external_source,
        "external_id": external_id,
        "version": version,
        "created_at": created_at,
        "updated_at": updated_at,
        "archived_at": archived_at,
    }


def graphql_task(row: Row) -> dict[str, Any]:
    (
        id_,
        _project_id,
        key,
        number,
        title,
        description,
        status,
        priority,
        start_at,
        due_at,
        completed_at,
        _parent_id,
        _created_by_id,
        version,
        created_at,
        updated_at,
        deleted_at,
        _milestone_id,
        _external_source,
        _external_id,
        starts_on_day,
        due_on_day,
    ) = row
    return {
        "id": node_id(b"Task", id_),
        "databaseId": id_,
        "ref": f"{key}-{number}",
        "number": number,
        "title": title,
        "description": description,
        "status": status.upper(),
        "priority": priority,
        "startAt": None if starts_on_day else start_at,
        "dueAt": None if due_on_day else due_at,
        "completedAt": completed_at,
        "version": version,
        "createdAt": created_at,
        "updatedAt": updated_at,
        "deletedAt": deleted_at,
    }


def graphql_tasks_with_relations(rows: Sequence[Row], related: Related) -> list[dict[str, Any]]:
    projects = {
        id_: {"id": node_id(b"Project", id_), "name": row[2], "key": row[1]} for id_, row in related.projects.items()
    }
    return [
        {
            "id": node_id(b"Task", id_),
            "title": title,
            "status": status.upper(),
            "priority": priority,
            "project": projects[project_id],
            "assignees": [
                {"id": node_id(b"User", person[1]), "username": person[2]} for person in related.assignees[id_]
            ],
            "tags": [{"id": node_id(b"Tag", tag[1]), "name": tag[3]} for tag in related.tags[id_]],
        }
        for id_, project_id, title, status, priority in rows
    ]
