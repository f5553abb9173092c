"""Imports that are repeated, cut off, run at the same time, or refused."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from db.driver.database import Database
from db.models import Task, User
from services.shared.actors import SERVER_KEY
from services.shared.errors import BadUserInput
from services.tasks import commands
from services.transfers import writer
from services.transfers.archives import ArchiveError
from services.transfers.runs import ImportOptions, find_owner, import_jira
from services.transfers.summary import Counts, Progress
from tests.actors import Person
from tests.conftest import ROOT
from tests.databases import empty_database
from tests.importing import Importer, Stop, add_account, busy, comments, rekey, row_counts, shape, stored, task, totals
from tests.jira_archives import Tracker


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


class TestRuns:
    async def test_second_run_changes_nothing(self, run: Importer, tracker: Tracker, database: Database) -> None:
        busy(tracker, 40)
        first = await run(batch_size=7)
        before = await row_counts(database)

        second = await run(batch_size=11)

        assert await row_counts(database) == before
        done = first.counts
        assert (done.tasks, done.people, done.tags, done.comments) == (40, 7, 4, 60)
        assert (first.descriptions, first.links, done.members, done.subtasks, done.due_dates) == (1, 20, 7, 8, 13)
        assert second.counts == Counts(
            projects_known=1,
            people_known=7,
            members_known=7,
            tags_known=4,
            tasks_known=40,
            subtasks_known=8,
            due_dates_known=13,
            comments_known=60,
            links_known=20,
        )
        assert (second.descriptions, second.descriptions_known, second.parents_linked) == (0, 1, 0)
        assert (second.links, second.links_known) == (0, 20)

    async def test_issue_that_was_moved_in_the_source_gets_its_new_comments(
        self, run: Importer, tracker: Tracker, ada: Person, tmp_path: Path
    ) -> None:
        issue = tracker.issue(1)
        await run()
        other = Tracker()
        moved = other.issue(7, comments=[tracker.comment("moved", author=tracker.person("mia"))])
        other.put(f"{other.key}-7.json", moved | {"id": issue["id"]})

        first, second = await run(other.pack(tmp_path)), await run(other.pack(tmp_path))

        assert [r["body"] for r in await comments(ada, tracker, 1)] == ["moved"]
        assert (first.counts.tasks_known, first.counts.comments, first.counts.members) == (1, 1, 1)
        assert (second.counts.comments_known, second.counts.members_known) == (1, 1)

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
        assert [r["body"] for r in await comments(ada, tracker, 1)] == ["one", "two"]
        assert (summary.counts.tasks, summary.counts.comments, summary.counts.people) == (1, 1, 0)

    async def test_two_runs_at_once_write_everything_once(
        self, run: Importer, tracker: Tracker, database: Database, tmp_path: Path
    ) -> None:
        busy(tracker, 30)
        path = tracker.pack(tmp_path)

        summaries = await asyncio.gather(run(path, batch_size=5), run(path, batch_size=4))

        assert sum(summary.counts.tasks for summary in summaries) == 30
        assert sum(summary.counts.comments for summary in summaries) == 45
        assert sum(summary.counts.people for summary in summaries) == 7
        assert len(await stored(database, tracker)) == 30

    async def test_what_was_deleted_here_stays_deleted(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        tracker.issue(1, comments=[tracker.comment("gone"), tracker.comment("stays")])
        tracker.issue(2, comments=[tracker.comment("with it")])
        await run()
        first, second = await task(ada, tracker, 1), await task(ada, tracker, 2)
        [gone, _] = await comments(ada, tracker, 1)
        await ada.delete(f"/tasks/{first['id']}/comments/{gone['databaseId']}")
        async with database.writing() as session:
            await session.execute(delete(Task).where(Task.id == second["id"]))

        summary = await run()

        assert list(await stored(database, tracker)) == [1]
        assert [r["body"] for r in await comments(ada, tracker, 1)] == ["stays"]
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

    async def test_everything_comes_back_after_the_tasks_were_cleared(
        self, empty_url: str, tracker: Tracker, tmp_path: Path
    ) -> None:
        busy(tracker, 20)
        tracker.issue(21, parent={"id": "away"})
        database, options = Database(empty_url), ImportOptions(source=tracker.source)
        try:
            await add_account(database, "boss", is_admin=True)
            first = await import_jira(database, tracker.pack(tmp_path), options)
            before = await shape(database, tracker)
            async with database.writing() as session:
                await commands.clear(session, SERVER_KEY)

            second = await import_jira(database, tracker.pack(tmp_path), options)

            assert await shape(database, tracker) == before
            assert (second.counts.tasks, second.counts.comments) == (first.counts.tasks, first.counts.comments)
            assert (second.parents_missing, second.counts.projects, second.counts.tags) == (1, 0, 0)
        finally:
            await database.dispose()

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

        assert [p.tasks for p in seen][:3] == [1, 2, 3]
        assert (seen[-1].position, seen[-1].tasks, seen[-1].comments) == (seen[-1].size, 20, 30)
        assert all(a.position <= b.position for a, b in pairwise(seen))

    async def test_batches_are_bounded_by_their_text_too(
        self, run: Importer, tracker: Tracker, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[int] = []
        write = writer.Writer.write

        async def noting(self: writer.Writer, issues: Any, **options: Any) -> Any:
            written.append(len(issues))
            return await write(self, issues, **options)

        monkeypatch.setattr(writer.Writer, "write", noting)
        monkeypatch.setattr("services.transfers.runs.BATCH_CHARACTERS", 1000)
        for number in range(1, 7):
            tracker.issue(number, description="x" * 400)

        await run()

        assert written == [3, 3]

    async def test_killed_run_can_be_run_again(self, empty_url: str, tracker: Tracker, tmp_path: Path) -> None:
        busy(tracker, 400)
        path = tracker.pack(tmp_path)
        command = ["-m", "cli", "import", "jira", str(path), "--source", tracker.source, "--batch", "2"]
        database = Database(empty_url)
        try:
            await add_account(database, "boss", is_admin=True)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                cwd=ROOT,
                env=os.environ | {"DATABASE_URL": empty_url},
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            deadline = time.monotonic() + 60
            while len(await stored(database, tracker)) < 20:
                assert process.returncode is None, await process.communicate()
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            process.kill()
            await process.communicate()
            survived = len(await stored(database, tracker))
            assert 20 <= survived < 400

            options = ImportOptions(source=tracker.source, owner="boss")
            summary = await import_jira(database, path, options)

            assert summary.counts.tasks + survived == 400
            assert await totals(database, tracker) == (400, 600, 80)
        finally:
            await database.dispose()


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

    async def test_owner_must_exist(self, run: Importer, tracker: Tracker) -> None:
        tracker.issue(1)

        with pytest.raises(BadUserInput, match="no account nobody_here"):
            await run(owner="nobody_here")

    async def test_first_administrator_owns_what_nobody_else_is_named_for(self, empty_url: str) -> None:
        database = Database(empty_url)
        try:
            with pytest.raises(BadUserInput, match="create-admin"):
                await find_owner(database, None)
            for name, is_admin in (("u0", False), ("u1", True), ("u2", True)):
                await add_account(database, name, is_admin=is_admin)
            second = await find_owner(database, "U1")
            assert await find_owner(database, None) == second
            async with database.writing() as session:
                await session.execute(update(User).where(User.id == second).values(disabled=True))
            assert await find_owner(database, None) == await find_owner(database, "u2")
        finally:
            await database.dispose()


class TestExternalIds:
    async def test_what_is_brought_in_is_called_as_the_source_calls_it(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        issue = tracker.issue(1, comments=[tracker.comment(author=tracker.person("kim"))])
        await run()
        shown = await task(ada, tracker, 1)
        project = (await ada.get(f"/projects?external_source={tracker.source}&external_id={tracker.key}")).json()
        said = (await ada.get(f"/tasks/{shown['id']}/comments")).json()

        assert (shown["external_source"], shown["external_id"]) == (tracker.source, issue["id"])
        assert [each["id"] for each in project] == [shown["project_id"]]
        assert [each["external_source"] for each in said] == [tracker.source]
        path = f"/tasks/by-external-id/{tracker.source}/{issue['id']}?project_id={shown['project_id']}"
        again = await ada.put(path, {"title": shown["title"]})
        assert (again.status_code, again.json()["id"], again.json()["version"]) == (200, shown["id"], 1)

    async def test_what_clients_made_for_the_source_is_found(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        said = tracker.comment(author=tracker.person("kim"))
        issue = tracker.issue(1, comments=[said])
        tracker.issue(2)
        source = {"external_source": tracker.source}
        project = await ada.project(key=tracker.key, **source, external_id=tracker.key)
        made = await ada.task(project_id=project["id"], title="Ours", **source, external_id=issue["id"])
        written = await ada.post(f"/tasks/{made['id']}/comments", {"body": "Ours", **source, "external_id": said["id"]})
        assert written.status_code == 201
        summary = await run()
        before = await row_counts(database)
        again = await run()

        assert (summary.counts.tasks, summary.counts.tasks_known, summary.counts.comments) == (1, 1, 0)
        assert (await task(ada, tracker, 1))["title"] == "Ours"
        assert (again.counts.tasks, again.counts.tasks_known) == (0, 2)
        assert await row_counts(database) == before
