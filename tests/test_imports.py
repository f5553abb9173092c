"""Imports: issues as tasks, runs that are repeated or cut off, and what stands in the way."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from db.engine import Database
from db.models import Base, Comment, Event, Membership, Project, Task, User
from services.errors import BadUserInput, Conflict
from services.imports import writer
from services.imports.archives import ArchiveError
from services.imports.runs import ImportOptions, find_owner, import_jira
from services.imports.summary import Counts, Progress, Summary
from tests.actors import Person
from tests.conftest import ROOT
from tests.databases import empty_database
from tests.jira_archives import CHANGED, Json, Tracker, pack


class Importer:
    """Imports the tracker as it is now, for a project that ada will own."""

    def __init__(self, database: Database, owner: Person, tracker: Tracker, folder: Path) -> None:
        self._database, self._owner, self._tracker, self._folder = database, owner, tracker, folder

    async def __call__(self, path: Path | None = None, *, stop_after: int | None = None, **options: Any) -> Summary:
        def stop(progress: Progress) -> None:
            if progress.issues == stop_after:
                raise Stop

        given = {"source": self._tracker.source, "owner": self._owner.username} | options
        path = path or self._tracker.pack(self._folder)
        return await import_jira(self._database, path, ImportOptions(**given), on_progress=stop)


class Stop(Exception):
    """Ends a run between two batches."""


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def run(database: Database, ada: Person, tracker: Tracker, tmp_path: Path) -> Importer:
    return Importer(database, ada, tracker, tmp_path)


@pytest.fixture
def empty_url(backend: str, tmp_path: Path) -> Iterator[str]:
    with empty_database(backend, tmp_path) as url:
        yield url


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


async def task(ada: Person, tracker: Tracker, number: int) -> dict[str, Any]:
    """A task as REST shows it, with what belongs to it."""
    found = await ada.get(f"/tasks/by-ref/{tracker.key}-{number}?expand=assignees,tags,created_by")
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


async def comments(ada: Person, task_id: int) -> list[dict[str, Any]]:
    body: list[dict[str, Any]] = (await ada.get(f"/tasks/{task_id}/comments?limit=100&expand=author")).json()
    return body


class TestService:
    async def test_issue_becomes_a_task_with_all_that_belongs_to_it(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        mia, tom = tracker.person("mia"), tracker.person("tom")
        tracker.issue(
            41,
            summary=" Sprocket squeaks ",
            status={"name": "Closed"},
            resolution={"name": "Fixed"},
            resolutiondate="2015-03-02T08:00:00.000+0000",
            updated=CHANGED,
            priority={"name": "High"},
            labels=["Noise", "oil"],
            reporter=mia,
            assignee=tom,
            comments=[
                tracker.comment("Oiled it.", author=tom),
                tracker.comment("Thanks!", author=mia, updated=CHANGED),
            ],
        )
        tracker.project(description="All about sprockets")

        await run()

        made = await task(ada, tracker, 41)
        assert made["title"] == "Sprocket squeaks"
        assert made["description"] == "As it says."
        assert (made["status"], made["priority"]) == ("completed", 4)
        assert made["created_at"] == "2015-03-01T08:30:00Z"
        assert made["updated_at"] == "2015-03-02T08:45:30.250000Z"
        assert made["completed_at"] == "2015-03-02T08:00:00Z"
        assert [person["full_name"] for person in made["assignees"]] == ["Tom"]
        assert made["created_by"]["full_name"] == "Mia"
        assert [tag["name"] for tag in made["tags"]] == ["Noise", "oil"]
        remarks = await comments(ada, made["id"])
        assert [(r["body"], r["author"]["full_name"], r["edited_at"]) for r in remarks] == [
            ("Oiled it.", "Tom", None),
            ("Thanks!", "Mia", "2015-03-02T08:45:30.250000Z"),
        ]
        project = (await ada.get(f"/projects/{made['project_id']}")).json()
        assert (project["key"], project["name"], project["role"]) == (tracker.key, "Invented", "owner")
        assert project["description"] == "All about sprockets"

    async def test_next_task_of_the_project_counts_on(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(900, comments=[tracker.comment()])
        tracker.issue(17)

        await run()

        project_id = (await task(ada, tracker, 900))["project_id"]
        made = await ada.task(project_id=project_id, tags=["fresh"])
        await ada.comment(made["id"])
        assert made["ref"] == f"{tracker.key}-901"

    async def test_texts_longer_than_the_api_allows_stay_whole(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        title, long = "t" * 244, "Ünicode " * 40_000
        tracker.issue(1, summary=title, description=long, comments=[tracker.comment(long)])

        await run()

        made = await task(ada, tracker, 1)
        assert (made["title"], made["description"]) == (title, long)
        assert [r["body"] for r in await comments(ada, made["id"])] == [long]

    async def test_empty_and_anonymous_comments_are_kept(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(1, comments=[tracker.comment(None), tracker.comment("", author=tracker.person("mia"))])

        summary = await run()

        remarks = await comments(ada, (await task(ada, tracker, 1))["id"])
        assert [(r["body"], r["author"] is None) for r in remarks] == [("", True), ("", False)]
        assert summary.counts.comments == summary.notes.empty_comments == 2

    async def test_imported_text_is_found_by_search(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(1, summary="Straße", description="gesperrt")
        tracker.issue(2, summary="Other")

        await run()

        found = await ada.get("/tasks", params={"search": "STRASSE"})
        assert [t["ref"] for t in found.json()] == [f"{tracker.key}-1"]

    async def test_labels_that_differ_by_case_are_one_tag(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(1, labels=["Android", "ANDROID"])
        tracker.issue(2, labels=["android", "Ios"])

        summary = await run(batch_size=1)

        assert [tag["name"] for tag in (await task(ada, tracker, 1))["tags"]] == ["Android"]
        assert [tag["name"] for tag in (await task(ada, tracker, 2))["tags"]] == ["Android", "Ios"]
        assert summary.counts.tags == 2

    async def test_people_with_one_display_name_stay_two(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        first, second = tracker.person("sam", displayName="Sam"), tracker.person("sam2", displayName="Sam")
        tracker.issue(1, reporter=first, assignee=second)

        await run()

        made = await task(ada, tracker, 1)
        [assignee] = made["assignees"]
        assert assignee["full_name"] == made["created_by"]["full_name"] == "Sam"
        assert assignee["id"] != made["created_by"]["id"]
        async with database.reading() as session:
            rows = await session.all(select(User).where(User.id.in_([assignee["id"], made["created_by"]["id"]])))
            inboxes = await session.all(select(Project.key).where(Project.inbox_of_id == assignee["id"]))
        assert all(row.email is None and row.password_hash is None and not row.is_admin for row in rows)
        assert all(row.timezone == "Europe/Vienna" for row in rows)
        assert [row.key for row in inboxes] == ["INBOX"]

    async def test_username_that_is_taken_gets_a_number(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        people = [tracker.person(f"p{n}", name=name) for n, name in enumerate([ada.username.upper()] * 3)]
        people.append(tracker.person("mail", key=f"{tracker.token}@example.com", name=f"{tracker.token}@example.com"))
        for number, person in enumerate(people, 1):
            tracker.issue(number, reporter=person)

        await run()

        names = [(await task(ada, tracker, number))["created_by"]["username"] for number in range(1, 5)]
        stem = ada.username.upper()
        assert names == [f"{stem}_2", f"{stem}_3", f"{stem}_4", tracker.token]

    async def test_who_appears_is_a_member(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        mia, tom, eve, ike = (tracker.person(name) for name in ("mia", "tom", "eve", "ike"))
        tracker.issue(1, reporter=mia, assignee=tom, comments=[tracker.comment(author=eve)], creator=ike)

        summary = await run()

        project_id = (await task(ada, tracker, 1))["project_id"]
        async with database.reading() as session:
            members = await session.all(
                select(User.full_name, Membership.role)
                .join(User, User.id == Membership.user_id)
                .where(Membership.project_id == project_id, User.id != ada.id)
            )
        assert {tuple(member) for member in members} == {("Mia", "member"), ("Tom", "member"), ("Eve", "member")}
        assert (summary.counts.people, summary.counts.members) == (3, 3)

    async def test_events_tell_where_everything_came_from(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        mia = tracker.person("mia", key=f"mia.{tracker.token}@example.com")
        remark = tracker.comment(author=mia)
        tracker.issue(1, reporter=mia, comments=[remark], labels=["Red"])

        await run()

        project_id = (await task(ada, tracker, 1))["project_id"]
        async with database.reading() as session:
            rows = await session.all(
                select(*Event.__table__.columns)
                .where((Event.project_id == project_id) | (Event.kind == "user.imported"))
                .order_by(Event.id)
            )
        ours = [row for row in rows if row.project_id or tracker.source in str(row.changes)]
        assert {row.kind: row.changes for row in ours} == {
            "project.imported": {"source": [None, f"{tracker.source}:{tracker.key}"]},
            "user.imported": {"source": [None, f"{tracker.source}:mia.{tracker.token}"]},
            "tag.created": {"name": [None, "Red"]},
            "member.added": {"user_id": [None, ours[1].entity_id], "role": [None, "member"]},
            "task.imported": {"source": [None, f"{tracker.source}:{tracker.key}-1"]},
            "comment.imported": {"source": [None, f"{tracker.source}:{remark['id']}"]},
        }
        assert {(row.actor_method, row.actor_id, row.notify) for row in ours} == {("system", None, False)}
        assert len({row.event_id for row in ours}) == 6

    async def test_two_sources_with_the_same_ids_are_kept_apart(
        self, run: Importer, tracker: Tracker, ada: Person, tmp_path: Path
    ) -> None:
        other = Tracker()
        other.token = tracker.token
        tracker.issue(1, summary="Here", comments=[tracker.comment("here")])
        other.issue(1, summary="There", comments=[other.comment("there")])

        await run()
        await run(other.pack(tmp_path, "other.tar"), source=other.source)

        assert (await task(ada, tracker, 1))["title"] == "Here"
        there = await task(ada, other, 1)
        assert [r["body"] for r in await comments(ada, there["id"])] == ["there"]


class TestSubtasks:
    async def test_parents_before_and_after_their_subtasks_are_linked(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        first = tracker.issue(1)
        tracker.issue(2, parent=first)
        early = tracker.issue(3, parent={"id": "1", "key": f"{tracker.key}-5"})
        tracker.issue(4, parent={"id": "404", "key": "AWAY-1"})
        last = tracker.issue(5, parent=first)
        early["fields"]["parent"]["id"] = last["id"]
        tracker.put(f"{tracker.key}-3.json", early)

        summary = await run(batch_size=2)

        tasks = await stored(database, tracker)
        parents = {number: row.parent_id for number, row in tasks.items()}
        assert parents == {1: None, 2: tasks[1].id, 3: tasks[5].id, 4: None, 5: tasks[1].id}
        assert (summary.counts.subtasks, summary.parents_linked, summary.parents_missing) == (4, 1, 1)
        # it was there without a parent before: a client that kept its ETag must notice
        assert (tasks[3].version, tasks[2].version) == (2, 1)

    async def test_parent_that_a_later_archive_brings_is_linked_then(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        child = tracker.issue(1, parent={"id": "late"})
        assert (await run()).parents_missing == 1

        tracker.issue(2)
        tracker.put(
            f"{tracker.key}-2.json",
            {"id": "late", "key": f"{tracker.key}-2", "fields": child["fields"] | {"parent": None}},
        )
        summary = await run()

        tasks = await stored(database, tracker)
        assert tasks[1].parent_id == tasks[2].id
        assert (summary.parents_linked, summary.parents_missing) == (1, 0)

    async def test_circles_are_not_closed(self, run: Importer, tracker: Tracker, database: Database) -> None:
        for number, parent in ((1, "3"), (2, "1"), (3, "2"), (4, "4")):
            issue = tracker.issue(number, parent={"id": parent})
            tracker.put(f"{tracker.key}-{number}.json", issue | {"id": str(number)})

        summary = await run()

        tasks = await stored(database, tracker)
        assert {n: row.parent_id for n, row in tasks.items()} == {1: None, 2: tasks[1].id, 3: tasks[2].id, 4: None}
        assert summary.parents_missing == 2

    async def test_parent_in_another_project_is_missing(
        self, run: Importer, tracker: Tracker, database: Database, tmp_path: Path
    ) -> None:
        other = Tracker()
        away = other.issue(1)
        tracker.issue(1, parent=away)
        early = tracker.issue(2, parent=away)
        late = {**early, "id": "x", "key": f"{other.key}-2"}
        path = pack(tmp_path / "dump.tar", {**tracker.files, **other.files, f"{other.key}-2.json": dump(late)})

        summary = await run(path)

        assert [row.parent_id for row in (await stored(database, tracker)).values()] == [None, None]
        assert summary.parents_missing == 2


def dump(document: Json) -> bytes:
    import json

    return json.dumps(document).encode()


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
                comments=[tracker.comment(f"{number}.{n}", author=people[n]) for n in range(number % 4)],
            )
        )
    tracker.project(description="Busy")


class TestRuns:
    async def test_second_run_changes_nothing(self, run: Importer, tracker: Tracker, database: Database) -> None:
        busy(tracker, 40)
        first = await run(batch_size=7)
        before = await row_counts(database)

        second = await run(batch_size=11)

        assert await row_counts(database) == before
        done = first.counts
        assert (done.tasks, done.people, done.tags, done.comments) == (40, 7, 4, 60)
        assert second.counts == Counts(
            projects_known=1, people_known=7, tags_known=4, tasks_known=40, comments_known=60
        )
        assert (second.descriptions, second.parents_linked) == (0, 0)

    async def test_run_that_was_cut_off_goes_on(
        self, run: Importer, tracker: Tracker, database: Database, tmp_path: Path
    ) -> None:
        busy(tracker, 40)
        with pytest.raises(Stop):
            await run(batch_size=6, stop_after=20)
        assert len(await stored(database, tracker)) == 18

        summary = await run(batch_size=6)

        whole = Tracker()
        whole.files = {
            name.replace(tracker.key, whole.key): rekey(raw, tracker, whole) for name, raw in tracker.files.items()
        }
        await run(whole.pack(tmp_path, "whole.tar"), source=whole.source)
        assert (summary.counts.tasks, summary.counts.tasks_known) == (22, 18)
        assert await shape(database, tracker) == await shape(database, whole)

    async def test_newer_archive_adds_what_is_new(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        mia = tracker.person("mia")
        first = tracker.issue(1, summary="Before", comments=[tracker.comment("one", author=mia)])
        await run()

        first["fields"]["summary"] = "After"
        first["fields"]["comment"]["comments"].append(tracker.comment("two", author=mia))
        tracker.put(f"{tracker.key}-1.json", first)
        tracker.issue(2)
        summary = await run()

        made = await task(ada, tracker, 1)
        assert made["title"] == "Before"
        assert [r["body"] for r in await comments(ada, made["id"])] == ["one", "two"]
        assert (summary.counts.tasks, summary.counts.comments, summary.counts.people) == (1, 1, 0)

    async def test_two_runs_at_once_write_everything_once(
        self, run: Importer, tracker: Tracker, database: Database, tmp_path: Path
    ) -> None:
        busy(tracker, 30)
        path = tracker.pack(tmp_path)

        summaries = await asyncio.gather(run(path, batch_size=5), run(path, batch_size=4))

        assert sum(summary.counts.tasks for summary in summaries) == 30
        assert sum(summary.counts.comments for summary in summaries) == 44
        assert sum(summary.counts.people for summary in summaries) == 7
        assert len(await stored(database, tracker)) == 30

    async def test_what_was_deleted_here_stays_deleted(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        tracker.issue(1, comments=[tracker.comment("gone"), tracker.comment("stays")])
        tracker.issue(2, comments=[tracker.comment("with it")])
        await run()
        first, second = await task(ada, tracker, 1), await task(ada, tracker, 2)
        [gone, _] = await comments(ada, first["id"])
        await ada.delete(f"/comments/{gone['id']}")
        async with database.writing() as session:
            await session.execute(Task.__table__.delete().where(Task.id == second["id"]))

        summary = await run()

        assert list(await stored(database, tracker)) == [1]
        assert [r["body"] for r in await comments(ada, first["id"])] == ["stays"]
        assert (summary.counts.tasks, summary.counts.comments) == (0, 0)

    async def test_project_that_was_deleted_comes_back_whole(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        busy(tracker, 10)
        first = await run()
        project_id = (await task(ada, tracker, 1))["project_id"]
        assert (await ada.delete(f"/projects/{project_id}")).status_code == 204

        second = await run()

        assert (second.counts.tasks, second.counts.comments) == (first.counts.tasks, first.counts.comments)
        assert (second.counts.people, second.counts.people_known) == (0, 7)
        assert len(await stored(database, tracker)) == 10

    async def test_number_that_is_taken_here_is_replaced_last(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        tracker.issue(1)
        await run()
        project_id = (await task(ada, tracker, 1))["project_id"]
        assert (await ada.task(project_id=project_id, title="Ours"))["number"] == 2
        for number in range(2, 6):
            tracker.issue(number, comments=[tracker.comment()])

        summary = await run(batch_size=1)

        tasks = await stored(database, tracker)
        assert {n: row.title for n, row in tasks.items()} == {
            1: "Issue 1",
            2: "Ours",
            3: "Issue 3",
            4: "Issue 4",
            5: "Issue 5",
            6: "Issue 2",
        }
        assert (summary.counts.renumbered, summary.counts.tasks, summary.counts.comments) == (1, 4, 4)

    async def test_issue_that_is_twice_in_the_archive_is_one_task(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        issue = tracker.issue(1, comments=[tracker.comment()])
        tracker.put(f"copy/{tracker.key}-1.json", issue)

        summary = await run()

        assert len(await stored(database, tracker)) == 1
        assert (summary.counts.tasks, summary.counts.comments) == (1, 1)

    async def test_progress_reaches_the_end(
        self, database: Database, ada: Person, tracker: Tracker, tmp_path: Path
    ) -> None:
        busy(tracker, 20)
        seen: list[Progress] = []
        options = ImportOptions(source=tracker.source, owner=ada.username)

        await import_jira(database, tracker.pack(tmp_path), options, on_progress=seen.append)

        assert [p.issues for p in seen][:3] == [1, 2, 3]
        assert (seen[-1].position, seen[-1].issues, seen[-1].comments) == (seen[-1].size, 20, 28)
        assert all(a.position <= b.position for a, b in zip(seen, seen[1:], strict=False))

    async def test_batches_are_bounded_by_their_text_too(
        self, run: Importer, tracker: Tracker, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[int] = []
        write = writer.Writer.write

        async def noting(self: writer.Writer, issues: Any, **options: Any) -> Any:
            written.append(len(issues))
            return await write(self, issues, **options)

        monkeypatch.setattr(writer.Writer, "write", noting)
        monkeypatch.setattr("services.imports.runs.BATCH_CHARACTERS", 1000)
        for number in range(1, 7):
            tracker.issue(number, description="x" * 400)

        await run()

        assert written == [3, 3]

    async def test_killed_run_can_be_run_again(self, empty_url: str, tracker: Tracker, tmp_path: Path) -> None:
        busy(tracker, 400)
        path = tracker.pack(tmp_path)
        environment = os.environ | {"DATABASE_URL": empty_url}
        command = [sys.executable, "-m", "cli", "import", "jira", str(path), "--source", tracker.source, "--batch", "2"]
        database = Database(empty_url)
        try:
            async with database.writing() as session:
                await session.execute(
                    User.__table__.insert().values(
                        username="boss",
                        username_folded="boss",
                        is_admin=True,
                        updated_at=func.now(),
                        created_at=func.now(),
                    )
                )
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            deadline = time.monotonic() + 60
            while len(await stored(database, tracker)) < 20:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            survived = len(await stored(database, tracker))
            assert 20 <= survived < 400

            options = ImportOptions(source=tracker.source, owner="boss")
            summary = await import_jira(database, path, options)

            assert summary.counts.tasks + survived == 400
            assert await totals(database, tracker) == (400, 600, 80)
        finally:
            await database.dispose()


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


class TestRefusals:
    async def test_broken_file_keeps_what_was_committed(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        busy(tracker, 9)
        tracker.put(f"{tracker.key}-10.json", b"{")
        tracker.issue(11)

        with pytest.raises(ArchiveError, match=f"{tracker.key}-10.json"):
            await run(batch_size=4)

        assert len(await stored(database, tracker)) == 8
        tracker.issue(10)
        assert (await run()).counts.tasks == 3

    async def test_truncated_archive_is_continued_by_the_whole(
        self, run: Importer, tracker: Tracker, database: Database, tmp_path: Path
    ) -> None:
        for number in range(1, 200):
            tracker.issue(number, description=os.urandom(300).hex())
        path = tracker.pack(tmp_path)
        half = tmp_path / "half.tar.xz"
        half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

        with pytest.raises(ArchiveError, match="cut off"):
            await run(half, batch_size=10)
        kept = len(await stored(database, tracker))
        summary = await run(path)

        assert 0 < kept < 199
        assert summary.counts.tasks == 199 - kept

    async def test_archive_without_issues(self, run: Importer, tracker: Tracker) -> None:
        tracker.project()
        tracker.put("readme.txt", b"nothing here")

        with pytest.raises(ArchiveError, match="holds no Jira issues"):
            await run()

    async def test_project_that_the_archive_lacks_is_told(self, run: Importer, tracker: Tracker) -> None:
        tracker.issue(1)

        summary = await run(projects=frozenset({tracker.key, "AWAY"}))

        assert summary.absent == ("AWAY",)
        assert summary.counts.tasks == 1

    async def test_key_of_a_project_that_is_no_import(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        await ada.project(key=tracker.key)
        tracker.issue(1)
        before = await row_counts(database)

        with pytest.raises(Conflict, match=f"{tracker.key} cannot be imported: a project with this key is there"):
            await run()

        assert await row_counts(database) == before

    @pytest.mark.parametrize("key", ["TOO_CLEVER", "MUCHTOOLONGAKEY", "INBOX"])
    async def test_key_that_cannot_be_one_here(self, run: Importer, tracker: Tracker, key: str) -> None:
        tracker.key = key
        tracker.issue(1)

        with pytest.raises(Conflict, match=f"{key} cannot be imported"):
            await run()

    async def test_archived_project_is_read_only(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(1)
        await run()
        project_id = (await task(ada, tracker, 1))["project_id"]
        await ada.patch(f"/projects/{project_id}", {"archived": True})
        assert (await run()).counts.tasks_known == 1

        tracker.issue(2)
        with pytest.raises(Conflict, match="archived"):
            await run()

    async def test_owner_must_exist(self, run: Importer, tracker: Tracker) -> None:
        tracker.issue(1)

        with pytest.raises(BadUserInput, match="no account nobody_here"):
            await run(owner="nobody_here")

    async def test_first_administrator_owns_what_nobody_else_is_named_for(self, empty_url: str) -> None:
        database = Database(empty_url)
        try:
            with pytest.raises(BadUserInput, match="create-admin"):
                await find_owner(database, None)
            for number in range(3):
                async with database.writing() as session:
                    await session.execute(
                        User.__table__.insert().values(
                            username=f"u{number}",
                            username_folded=f"u{number}",
                            is_admin=number > 0,
                            updated_at=func.now(),
                            created_at=func.now(),
                        )
                    )
            second = await find_owner(database, "U1")
            assert await find_owner(database, None) == second
            async with database.writing() as session:
                await session.execute(update(User).where(User.id == second).values(disabled=True))
            assert await find_owner(database, None) == await find_owner(database, "u2")
        finally:
            await database.dispose()
