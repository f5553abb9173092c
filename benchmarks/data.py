"""The data that every server is measured on: the same on every machine and in every run.

Made once for each kind of database, in Tandem's own schema by its own migrations; each server gets a copy.
"""

import os
import random
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, func, insert, make_url, select, text

from db.models import (
    Base,
    Comment,
    CommentText,
    Event,
    LoginSession,
    Membership,
    Project,
    Tag,
    Task,
    TaskAssignee,
    TaskTag,
    TaskText,
    User,
)

ROOT = Path(__file__).resolve().parent.parent
EPOCH = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
"""The data's "now": nothing in it is younger."""
OTHER_USERS = 50
BATCH = 2_000

PROJECTS = (("WEB", "Website"), ("API", "Public interface"), ("OPS", "Operations"), ("DOC", "Handbook"), ("CRM", "CRM"))
FOREIGN = ("SEC", "Of other people")
"""A project that the caller is no member of: its tasks must show up in no answer."""
ROLES = ("member", "owner", "admin", "member", "viewer")
TAGS = (
    "bug",
    "feature",
    "docs",
    "urgent",
    "later",
    "customer",
    "design",
    "backend",
    "frontend",
    "legal",
    "test",
    "idea",
)
VERBS = ("Write", "Fix", "Review", "Plan", "Test", "Document", "Release", "Measure", "Replace", "Discuss", "Translate")
THINGS = (
    "the login page",
    "the nightly export",
    "an index for the search",
    "the invoice of March",
    "the style guide",
    "reminders by e-mail",
    "the “Getting started” chapter",
    "two slow queries",
    "the price list (Zürich)",
    "the backup of the archive",
)
SENTENCES = (
    "It has been asked for twice this month.",
    "The old way stays until everybody has moved.",
    "See the notes of the last meeting, page 3.",
    'Ask the team that said "not now" in spring.',
    "This takes two days at most.",
    "Nothing else depends on it yet.",
    "The figures are in the shared folder: 12 % more than planned.",
    "Naïve approaches have failed before.",
)


@dataclass(slots=True)
class Dataset:
    """Whose requests are measured, and what they ask for. Ids of tasks are in no particular order."""

    user_id: int
    session_id: int
    task_ids: list[int] = field(default_factory=list)
    project_id: int = 0
    """Where tasks are created."""


def migrate(url: str) -> None:
    """Bring an empty database up to date, as the operator does. Raises ``RuntimeError`` with what Alembic said."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {**os.environ, "DATABASE_URL": url}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"alembic upgrade head failed:\n{done.stdout}{done.stderr}")


def make(url: str, tasks: int) -> Dataset:
    """Fill an empty, migrated database with ``tasks`` tasks for the caller, and some that it may not see."""
    with connect(url) as connection:
        dataset = _people(connection)
        _projects(connection, dataset, tasks)
        _finish(connection)
    return dataset


def import_jira(url: str, archive: Path) -> Dataset:
    """Fill an empty, migrated database with the project's own import; the caller owns what comes in."""
    with connect(url) as connection:
        dataset = _people(connection)
        _finish(connection)
    command = [sys.executable, "-m", "cli", "import", "jira", str(archive), "--owner", "caller", "--no-progress"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, check=True)
    with connect(url) as connection:
        visible = select(Membership.project_id).where(Membership.user_id == dataset.user_id)
        dataset.task_ids = list(connection.scalars(select(Task.id).where(Task.project_id.in_(visible)).limit(10_000)))
        _finish(connection)
    return dataset


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """A transaction on a database, through the drivers that the project has anyway."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _people(connection: Connection) -> Dataset:
    names = ["caller", *(f"user{number:02}" for number in range(1, OTHER_USERS + 1))]
    _write(
        connection,
        User,
        (
            {
                "id": number,
                "username": name,
                "username_folded": name,
                "email": f"{name}@example.com",
                "full_name": f"{name.capitalize()} of the Benchmark" if number % 3 else None,
                "timezone": "UTC",
                "is_admin": False,
                "disabled": False,
                "created_at": EPOCH,
                "updated_at": EPOCH,
            }
            for number, name in enumerate(names, 1)
        ),
    )
    moment = datetime.now(UTC)
    session = {"user_id": 1, "created_at": moment, "last_used_at": moment, "expires_at": moment + timedelta(days=30)}
    _write(connection, LoginSession, [{"id": 1, **session}])
    return Dataset(user_id=1, session_id=1)


def _projects(connection: Connection, dataset: Dataset, tasks: int) -> None:
    random_ = random.Random(4)
    places = [*((key, name, tasks // len(PROJECTS)) for key, name in PROJECTS), (*FOREIGN, tasks // 10)]
    sizes = {number: size for number, (_, _, size) in enumerate(places, 1)}
    _write(
        connection,
        Project,
        (
            {
                "id": number,
                "key": key,
                "name": name,
                "description": " ".join(SENTENCES[:number]) if number % 2 else None,
                "last_number": size,
                "version": 1,
                "created_at": EPOCH - timedelta(days=800, microseconds=number),
                "updated_at": EPOCH - timedelta(days=number, microseconds=number),
            }
            for number, (key, name, size) in enumerate(places, 1)
        ),
    )
    inbox = {"id": len(places) + 1, "key": "INBOX", "name": "Inbox", "inbox_of_id": dataset.user_id, "last_number": 0}
    _write(connection, Project, [{**inbox, "version": 1, "created_at": EPOCH, "updated_at": EPOCH}])
    members = [
        *((number, dataset.user_id, role) for number, role in enumerate(ROLES, 1)),
        (inbox["id"], dataset.user_id, "owner"),
        *((number, user, "member") for number in sizes for user in range(2, OTHER_USERS + 2)),
    ]
    _write(
        connection,
        Membership,
        (
            {"project_id": project, "user_id": user, "role": role, "created_at": EPOCH}
            for project, user, role in members
        ),
    )
    tag_ids = {number: [(number - 1) * len(TAGS) + index for index in range(1, len(TAGS) + 1)] for number in sizes}
    _write(
        connection,
        Tag,
        (
            {
                "id": tag_id,
                "project_id": number,
                "name": name.capitalize() if number % 2 else name,
                "name_folded": name,
                "color": f"#{random_.randrange(1 << 24):06x}" if tag_id % 2 else None,
                "created_at": EPOCH,
            }
            for number, ids in tag_ids.items()
            for tag_id, name in zip(ids, TAGS, strict=True)
        ),
    )
    rows = _tasks(random_, sizes)
    _write(connection, Task, rows)
    _write(connection, TaskText, ({"task_id": row["id"], "folded": _folded(row)} for row in rows))
    assigned: list[dict[str, int]] = []
    tagged: list[dict[str, int]] = []
    remarks: list[dict[str, Any]] = []
    for row in rows:
        for user in random_.sample(range(1, OTHER_USERS + 2), random_.choice((0, 1, 1, 2, 3))):
            assigned.append({"task_id": row["id"], "user_id": user})
        for tag in random_.sample(tag_ids[row["project_id"]], random_.choice((0, 1, 1, 2, 3))):
            tagged.append({"task_id": row["id"], "tag_id": tag})
        for _ in range(random_.choice((0, 0, 0, 1, 2))):
            author = random_.randint(1, OTHER_USERS + 1)
            comment = {"task_id": row["id"], "author_id": author, "created_at": row["updated_at"], "version": 1}
            remarks.append({"id": len(remarks) + 1, **comment, "body": random_.choice(SENTENCES)})
    _write(connection, TaskAssignee, assigned)
    _write(connection, TaskTag, tagged)
    _write(connection, Comment, remarks)
    _write(connection, CommentText, ({"comment_id": row["id"], "folded": _fold(row["body"])} for row in remarks))
    _write(connection, Event, (_event(number, row) for number, row in enumerate(rows, 1)))
    own = [row["id"] for row in rows if row["project_id"] <= len(PROJECTS) and row["deleted_at"] is None]
    dataset.task_ids = random_.sample(own, min(len(own), 2_000))
    dataset.project_id = 1


def _tasks(random_: random.Random, sizes: dict[int, int]) -> list[dict[str, Any]]:
    """Tasks in the order of their making, the projects mixed, all with microseconds."""
    places = [project for project, size in sizes.items() for _ in range(size)]
    random_.shuffle(places)
    step = timedelta(days=700) / len(places)
    numbers = dict.fromkeys(sizes, 0)
    latest: dict[int, int] = {}
    rows = []
    for task_id, project in enumerate(places, 1):
        numbers[project] += 1
        created = EPOCH - timedelta(days=700) + task_id * step + timedelta(microseconds=random_.randrange(1, 10**6))
        updated = created + timedelta(microseconds=random_.randrange(1, 10**10))
        status = random_.choice(("pending", "pending", "in_progress", "completed", "cancelled"))
        due = (created + timedelta(days=random_.randint(3, 60))).replace(minute=0, second=0, microsecond=0)
        start = due - timedelta(days=2, microseconds=random_.randrange(10**6))
        rows.append(
            {
                "id": task_id,
                "project_id": project,
                "number": numbers[project],
                "title": f"{random_.choice(VERBS)} {random_.choice(THINGS)} {task_id}",
                "description": _description(random_) if random_.random() < 0.95 else None,
                "status": status,
                "priority": random_.randint(1, 5),
                "parent_id": latest.get(project) if random_.random() < 0.1 else None,
                "created_by_id": random_.randint(1, OTHER_USERS + 1),
                "version": random_.randint(1, 5),
                "start_at": start if random_.random() < 0.3 else None,
                "due_at": due if random_.random() < 0.7 else None,
                "completed_at": updated if status == "completed" else None,
                "created_at": created,
                "updated_at": updated,
                "deleted_at": updated if random_.random() < 0.01 else None,
            }
        )
        latest[project] = task_id
    return rows


def _description(random_: random.Random) -> str:
    """About 200 characters."""
    return " ".join(random_.sample(SENTENCES, 5))


def _folded(row: dict[str, Any]) -> str:
    return _fold(f"{row['title']}\n{row['description'] or ''}")


def _fold(words: str) -> str:
    return unicodedata.normalize("NFC", words).casefold()


def _event(number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "event_id": f"00000000-0000-7000-8000-{number:012x}",
        "position": number,
        "occurred_at": row["created_at"],
        "kind": "task.created",
        "entity_type": "task",
        "entity_id": row["id"],
        "entity_version": 1,
        "project_id": row["project_id"],
        "task_id": row["id"],
        "actor_id": row["created_by_id"],
        "actor_method": "token",
        "notify": True,
        "changes": {name: [None, row[name]] for name in ("number", "title", "status", "priority")},
    }


def _write(connection: Connection, model: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    values = list(rows)
    for start in range(0, len(values), BATCH):
        connection.execute(insert(model), values[start : start + BATCH])


def _finish(connection: Connection) -> None:
    """What a database that has been running for a while has: statistics, and counters beyond the rows."""
    if connection.dialect.name == "postgresql":
        for table in Base.metadata.sorted_tables:
            if "id" in table.c and table.c.id.autoincrement:
                highest = connection.scalar(select(func.max(table.c.id)))
                sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, "id")))
                if highest and sequence:
                    connection.execute(select(func.setval(sequence, highest)))
    connection.execute(text("ANALYZE"))
