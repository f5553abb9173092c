"""Importing an invented tracker, and looking at what came of it."""

from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select

from core.clock import now
from db.driver.database import Database
from db.models import Base, Comment, Project, Relation, Task, User
from services.transfers.runs import ImportOptions, import_jira
from services.transfers.summary import Progress, Summary
from tests.actors import Person
from tests.jira_archives import Json, Tracker


class Importer:
    """Imports the tracker as it is now, for a project that ada will own."""

    def __init__(self, database: Database, owner: Person, tracker: Tracker, folder: Path) -> None:
        self._database, self._owner, self._tracker, self._folder = database, owner, tracker, folder

    async def __call__(self, path: Path | None = None, *, stop_after: int | None = None, **options: Any) -> Summary:
        def stop(progress: Progress) -> None:
            if progress.tasks == stop_after:
                raise Stop

        given = {"source": self._tracker.source, "owner": self._owner.username} | options
        path = path or self._tracker.pack(self._folder)
        return await import_jira(self._database, path, ImportOptions(**given), on_progress=stop)


class Stop(Exception):
    """Ends a run between two batches."""


async def add_account(database: Database, name: str, *, is_admin: bool) -> None:
    """An account without anything else, as a row."""
    async with database.writing() as session:
        await session.execute(
            insert(User).values(username=name, username_folded=name, is_admin=is_admin, updated_at=now())
        )


async def row_counts(database: Database) -> dict[str, int]:
    """How many rows each table has."""
    async with database.reading() as session:
        return {
            name: int(await session.scalar(select(func.count()).select_from(table)))
            for name, table in Base.metadata.tables.items()
        }


async def stored(database: Database, tracker: Tracker) -> dict[int, Any]:
    """The tasks of the tracker's project by number."""
    async with database.reading() as session:
        rows = await session.all(
            select(*Task.__table__.columns)
            .join(Project, Project.id == Task.project_id)
            .where(Project.key == tracker.key)
        )
    return {row.number: row for row in rows}


async def relations(database: Database, tracker: Tracker) -> list[tuple[int, str, int]]:
    """The relations between the project's tasks, which are named by their numbers."""
    numbers = {row.id: number for number, row in (await stored(database, tracker)).items()}
    async with database.reading() as session:
        rows = await session.all(select(Relation.source_id, Relation.kind, Relation.target_id))
    return sorted((numbers[row[0]], row[1], numbers[row[2]]) for row in rows if row[0] in numbers)


async def task(ada: Person, tracker: Tracker, number: int) -> dict[str, Any]:
    """A task as REST shows it, with what belongs to it."""
    found = await ada.get(f"/tasks/by-ref/{tracker.key}-{number}?expand=assignees&expand=tags&expand=created_by")
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


async def comments(ada: Person, tracker: Tracker, number: int) -> list[dict[str, Any]]:
    """A task's comments as GraphQL shows them: body, editedAt, author and id."""
    answer = await ada.gql(
        """query ($ref: String!) {
          taskByRef(ref: $ref) {
            comments(first: 100) { edges { node { databaseId body editedAt author { fullName } } } }
          }
        }""",
        {"ref": f"{tracker.key}-{number}"},
    )
    return [edge["node"] for edge in answer.data["taskByRef"]["comments"]["edges"]]


def busy(tracker: Tracker, size: int) -> None:
    """Fill the tracker with issues that refer to each other, people, tags and comments."""
    people = [tracker.person(f"person{n}") for n in range(7)]
    issues: list[Json] = []
    for number in range(1, size + 1):
        parent = issues[number // 2] if number % 5 == 0 else None
        issues.append(
            tracker.issue(
                number,
                reporter=people[number % 7],
                assignee=people[number % 3] if number % 2 else None,
                labels=[f"label {number % 4}"],
                parent=parent,
                duedate=f"2019-05-{number % 28 + 1:02}" if number % 3 == 0 else None,
                issuelinks=[tracker.link(issues[-1], "Blocks")] if number % 2 == 0 else [],
                comments=[tracker.comment(f"{number}.{n}", author=people[n]) for n in range(number % 4)],
            )
        )
    tracker.project(description="Busy")


async def totals(database: Database, tracker: Tracker) -> tuple[int, int, int]:
    """Tasks, comments and subtasks of the tracker's project."""
    async with database.reading() as session:
        project = select(Project.id).where(Project.key == tracker.key).scalar_subquery()
        count = await session.scalar(select(func.count(Comment.id)).join(Task).where(Task.project_id == project))
    tasks = (await stored(database, tracker)).values()
    return len(tasks), int(count), sum(row.parent_id is not None for row in tasks)


async def shape(database: Database, tracker: Tracker) -> Any:
    """What a project holds, without ids."""
    tasks = await stored(database, tracker)
    numbers = {row.id: number for number, row in tasks.items()}
    async with database.reading() as session:
        bodies = await session.all(select(Comment.task_id, Comment.body).where(Comment.task_id.in_(numbers)))
    return (
        {n: (row.title, row.status, numbers.get(row.parent_id), row.created_at) for n, row in tasks.items()},
        Counter((numbers[row.task_id], row.body) for row in bodies),
    )


def rekey(raw: bytes, old: Tracker, new: Tracker) -> bytes:
    return raw.replace(old.key.encode(), new.key.encode()).replace(old.token.encode(), new.token.encode())
