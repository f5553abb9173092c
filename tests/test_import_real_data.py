"""The real Jira archive, where it lies beside the checkout: what was imported against a count of its own.

The smallest project always; the whole archive, once killed on the way, with TANDEM_REAL_DATA=1 (two minutes).
"""

import asyncio
import json
import lzma
import os
import re
import shutil
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db.driver.database import Database
from db.models import Comment, ExternalId, Project, Tag, Task, TaskAssignee, TaskTag, TaskText
from services.transfers.runs import ImportOptions, import_jira
from services.transfers.summary import Counts
from tests.conftest import ROOT
from tests.databases import empty_database
from tests.importing import add_account

MEMORY_MB = 400
SECONDS = 120

# what stands in the archive, written down again on purpose: nothing here is shared with the importer
OPEN = {"Open": "pending", "Reopened": "pending"}
WORKING = {"In Progress": "in_progress", "In Review": "in_progress", "In QE Test": "in_progress"}
DONE = {"Fixed", "Done", None}
PRIORITIES = {"Critical": 5, "High": 4, "Medium": 3, "Low": 2, "Trivial": 1, "None": 1, None: 1}


@dataclass
class Totals:
    """How much there is of everything, by project."""

    tasks: Counter[tuple[str, str]] = field(default_factory=Counter)
    priorities: Counter[tuple[str, int]] = field(default_factory=Counter)
    comments: Counter[str] = field(default_factory=Counter)
    comment_characters: Counter[str] = field(default_factory=Counter)
    text_characters: Counter[str] = field(default_factory=Counter)
    assignments: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    subtasks: Counter[str] = field(default_factory=Counter)
    last: Counter[str] = field(default_factory=Counter)
    people: int = 0


def count_archive(path: Path, *projects: str) -> Totals:
    """Count the archive, in the plainest way."""
    totals, people, tags, parents, ids = Totals(), set(), set(), [], set()
    with tarfile.open(path) as archive:
        for entry in archive:
            key, _, number = Path(entry.name).stem.rpartition("-")
            if not entry.isfile() or not number.isdigit() or (projects and key not in projects):
                continue
            stream = archive.extractfile(entry)
            assert stream is not None
            issue = json.loads(stream.read())
            fields = issue["fields"]
            ids.add(issue["id"])
            totals.tasks[key, _status(fields)] += 1
            totals.priorities[key, PRIORITIES[(fields.get("priority") or {}).get("name")]] += 1
            totals.last[key] = max(totals.last[key], int(number))
            # a tab is a blank, with the blanks around it
            title = re.sub(r" *\t[ \t]*", " ", fields["summary"].replace("\0", "")).strip()
            totals.text_characters[key] += len(title) + len((fields.get("description") or "").replace("\0", ""))
            for comment in fields["comment"]["comments"]:
                totals.comments[key] += 1
                totals.comment_characters[key] += len(comment.get("body", "").replace("\0", ""))
                people.add((comment.get("author") or {}).get("key"))
            people |= {(fields.get(role) or {}).get("key") for role in ("reporter", "assignee")}
            totals.assignments[key] += bool(fields.get("assignee"))
            names = {label.casefold() for label in fields["labels"]}
            totals.labels[key] += len(names)
            tags |= {(key, name) for name in names}
            if fields.get("parent"):
                parents.append((key, fields["parent"]["id"]))
    totals.people = len(people - {None})
    totals.tags = Counter(key for key, _ in tags)
    totals.subtasks = Counter(key for key, parent in parents if parent in ids)
    return totals


def count_lists(path: Path, project: str) -> Counter[str]:
    """How long the lists are that tasks have no place for."""
    names = {
        "attachment": "attachments",
        "components": "components",
        "versions": "affected versions",
        "fixVersions": "fix versions",
        "closedSprints": "sprints",
    }
    counted: Counter[str] = Counter()
    with tarfile.open(path) as archive:
        for entry in archive:
            stream = archive.extractfile(entry) if re.search(rf"{project}-\d+\.json$", entry.name) else None
            fields = json.loads(stream.read())["fields"] if stream else {}
            for name, label in names.items():
                counted[label] += len(fields.get(name) or [])
            counted["sprints"] += bool(fields.get("sprint"))
            counted["issue types"] += bool(fields.get("issuetype"))
    return counted


def known(counts: Counts) -> dict[str, int]:
    """What there is of each thing, be it new or not. Of links, tasks know nothing before the last pass."""
    numbers = asdict(counts)
    return {
        name: numbers[name] + numbers[f"{name}_known"]
        for name in numbers
        if f"{name}_known" in numbers and not name.startswith("restricted")
    }


def _status(fields: dict[str, Any]) -> str:
    name = fields["status"]["name"]
    if name in OPEN | WORKING:
        return (OPEN | WORKING)[name]
    assert name in {"Closed", "Resolved"}
    return "completed" if (fields.get("resolution") or {}).get("name") in DONE else "cancelled"


async def count_database(database: Database) -> Totals:
    """Count what was imported."""
    of_task = select(Project.key).join(Task, Task.project_id == Project.id).where(Project.inbox_of_id.is_(None))
    characters = func.sum(func.length(Task.title) + func.length(func.coalesce(Task.description, "")))
    commented = of_task.join(Comment, Comment.task_id == Task.id).group_by(Project.key)

    async def counter(statement: Any) -> Counter[Any]:
        async with database.reading() as session:
            rows = await session.all(statement)
        return Counter({(row[:-1] if len(row) > 2 else row[0]): int(row[-1]) for row in rows})

    async with database.reading() as session:
        people = int(await session.scalar(select(func.count()).where(ExternalId.kind == "user")))
        texts = await session.scalar(select(func.count()).select_from(TaskText))
        assert texts == await session.scalar(select(func.count()).select_from(Task))
    by_key = of_task.group_by(Project.key)
    return Totals(
        tasks=await counter(by_key.add_columns(Task.status, func.count()).group_by(Task.status)),
        priorities=await counter(by_key.add_columns(Task.priority, func.count()).group_by(Task.priority)),
        comments=await counter(commented.add_columns(func.count())),
        comment_characters=await counter(commented.add_columns(func.sum(func.length(Comment.body)))),
        text_characters=await counter(by_key.add_columns(characters)),
        assignments=await counter(by_key.join(TaskAssignee, TaskAssignee.task_id == Task.id).add_columns(func.count())),
        tags=await counter(select(Project.key, func.count()).join(Tag).group_by(Project.key)),
        labels=await counter(by_key.join(TaskTag, TaskTag.task_id == Task.id).add_columns(func.count())),
        subtasks=await counter(by_key.where(Task.parent_id.is_not(None)).add_columns(func.count())),
        last=await counter(select(Project.key, Project.last_number).where(Project.inbox_of_id.is_(None))),
        people=people,
    )


@pytest.fixture(scope="session")
def archive(real_data: Path) -> Path:
    found = sorted((real_data / "jira").glob("*.tar.xz"))
    if not found:
        pytest.skip("the Jira archive is not beside the checkout")
    return found[0]


@pytest.fixture(scope="session")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The archive as a plain tar: a pass over it takes a second less, and the tests make ten."""
    path = tmp_path_factory.mktemp("jira") / archive.stem
    with lzma.open(archive) as packed, path.open("wb") as plain:
        shutil.copyfileobj(packed, plain, 1 << 20)
    yield path
    path.unlink()


@pytest.fixture
def own_url(backend: str, tmp_path: Path) -> Iterator[str]:
    with empty_database(backend, tmp_path) as url:
        yield url


async def test_smallest_project_is_imported_as_it_is_counted(own_url: str, archive: Path, unpacked: Path) -> None:
    database = Database(own_url)
    try:
        await add_account(database, "boss", is_admin=True)
        options = ImportOptions(projects=frozenset({"DAEMON"}))
        first, second = await import_jira(database, archive, options), await import_jira(database, unpacked, options)

        assert await count_database(database) == count_archive(unpacked, "DAEMON")
        lists = count_lists(unpacked, "DAEMON")
        for left_out in (first.notes.left_out, second.notes.left_out):
            assert left_out.items() >= lists.items()
        assert known(second.counts) == known(first.counts)
        assert (second.links, second.links_known, second.links_missing) == (0, first.links, first.links_missing)
    finally:
        await database.dispose()


@pytest.mark.skipif(os.environ.get("TANDEM_REAL_DATA") != "1", reason="takes two minutes: TANDEM_REAL_DATA=1")
async def test_whole_archive_is_imported_also_when_killed_on_the_way(own_url: str, archive: Path) -> None:
    database = Database(own_url)
    try:
        await add_account(database, "boss", is_admin=True)
        killed = await _start(own_url, archive)
        while await _tasks(database) < 9_000:
            assert killed.returncode is None, (await killed.communicate())[1].decode()
            await asyncio.sleep(0.05)
        killed.kill()
        await killed.communicate()
        survived = await _tasks(database)

        continued = await _start(own_url, archive)
        output, errors = await continued.communicate()
        assert continued.returncode == 0, errors.decode()

        expected = count_archive(archive)
        assert survived < sum(expected.tasks.values())
        assert await count_database(database) == expected
        facts = {
            name: float(number) for name, number in re.findall(r"(Seconds|Peak memory) +([0-9.]+)", output.decode())
        }
        assert facts["Seconds"] < SECONDS
        assert facts["Peak memory"] < MEMORY_MB
    finally:
        await database.dispose()


async def _start(url: str, archive: Path) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "cli", "import", "jira", str(archive), "--no-progress"]
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _tasks(database: Database) -> int:
    async with database.reading() as session:
        return int(await session.scalar(select(func.count()).select_from(Task)))
