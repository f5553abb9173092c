"""The data that every server is measured on: the same on every machine and in every run.

Made once for each kind of database, in Tandem's own schema by its own migrations; each server gets a copy.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, create_engine, func, insert, make_url, select, text

from benchmarks import rows
from benchmarks.rows import CALLER_ID, USUAL, Row, Shape
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
BATCH = 2_000
SEED = 4


@dataclass(slots=True)
class Dataset:
    """Whose requests are measured, and what they ask for. Ids of tasks are in no particular order."""

    user_id: int
    session_id: int
    task_ids: list[int] = field(default_factory=list)
    project_id: int = 0
    """Where tasks are created."""
    cursors: dict[int, str] = field(default_factory=dict)
    """Where pages deep down the list of the newest begin: by how many percent of the tasks come before."""


def migrate(url: str) -> None:
    """Bring an empty database up to date, as the operator does. Raises ``RuntimeError`` with what Alembic said."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {**os.environ, "DATABASE_URL": url}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"alembic upgrade head failed:\n{done.stdout}{done.stderr}")


def make(url: str, tasks: int, shape: Shape = USUAL) -> Dataset:
    """Fill an empty, migrated database with ``tasks`` tasks for the caller, and some that it may not see."""
    with connect(url) as connection:
        dataset = write_people(connection)
        random_ = random.Random(SEED)
        sizes = rows.sizes(tasks, shape)
        write_projects(connection, random_, sizes)
        _write_tasks(connection, dataset, random_, sizes, shape)
        finish(connection)
        connection.execute(text("ANALYZE"))
    return dataset


def index_open_tasks(url: str) -> None:
    """An index of the open tasks alone, which whoever writes statements for a tracker of done ones would make: for the
    floor and the naive application, whose schema this is not."""
    with connect(url) as connection:
        connection.execute(
            text(
                "CREATE INDEX IF NOT EXISTS ix_open_tasks ON tasks (project_id, created_at, id) "
                "WHERE deleted_at IS NULL AND status = 'pending'"
            )
        )
        connection.execute(text("ANALYZE tasks"))


def import_jira(url: str, archive: Path) -> Dataset:
    """Fill an empty, migrated database with the project's own import; the caller owns what comes in."""
    with connect(url) as connection:
        dataset = write_people(connection)
        finish(connection)
    command = [sys.executable, "-m", "cli", "import", "jira", str(archive), "--owner", "caller", "--no-progress"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, check=True)
    with connect(url) as connection:
        visible = select(Membership.project_id).where(Membership.user_id == dataset.user_id)
        dataset.task_ids = list(connection.scalars(select(Task.id).where(Task.project_id.in_(visible)).limit(10_000)))
        connection.execute(text("ANALYZE"))
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


def write_people(connection: Connection) -> Dataset:
    """Write the users, and a login of the caller's."""
    write(connection, User, rows.users())
    moment = datetime.now(UTC)
    session = {"created_at": moment, "last_used_at": moment, "expires_at": moment + timedelta(days=30)}
    write(connection, LoginSession, [{"id": 1, "user_id": CALLER_ID, **session}])
    return Dataset(user_id=CALLER_ID, session_id=1, project_id=1)


def write_projects(connection: Connection, random_: random.Random, sizes: rows.Sizes) -> None:
    """Write projects, with members and tags, that have no tasks yet."""
    write(connection, Project, rows.projects(sizes))
    write(connection, Membership, rows.memberships(sizes))
    write(connection, Tag, rows.tags(random_, sizes))


def _write_tasks(
    connection: Connection, dataset: Dataset, random_: random.Random, sizes: rows.Sizes, shape: Shape
) -> None:
    tasks = list(rows.tasks(random_, sizes, shape))
    write(connection, Task, tasks)
    write(connection, TaskText, map(rows.task_text, tasks))
    assigned: list[Row] = []
    tagged: list[Row] = []
    comments: list[Row] = []
    for task in tasks:
        attached = rows.attached(random_, task, len(comments) + 1)
        assigned += attached.assignees
        tagged += attached.tags
        comments += attached.comments
    write(connection, TaskAssignee, assigned)
    write(connection, TaskTag, tagged)
    write(connection, Comment, comments)
    write(connection, CommentText, map(rows.comment_text, comments))
    write(connection, Event, (rows.event(number, task) for number, task in enumerate(tasks, 1)))
    own = [task["id"] for task in tasks if rows.is_own(task, sizes) and task["deleted_at"] is None]
    dataset.task_ids = random_.sample(own, min(len(own), 2_000))


def write(connection: Connection, model: type[Base], values: Iterable[Row]) -> None:
    values = list(values)
    for start in range(0, len(values), BATCH):
        connection.execute(insert(model), values[start : start + BATCH])


def finish(connection: Connection) -> None:
    """Put PostgreSQL's counters beyond the rows, as they are where a database has been running for a while."""
    if connection.dialect.name == "postgresql":
        for table in Base.metadata.sorted_tables:
            if "id" in table.c and table.c.id.autoincrement:
                highest = connection.scalar(select(func.max(table.c.id)))
                sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, "id")))
                if highest and sequence:
                    connection.execute(select(func.setval(sequence, highest)))
