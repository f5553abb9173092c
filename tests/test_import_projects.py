"""Imported projects: what they are called, and what happens where they cannot be imported under their keys."""

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.driver.database import Database
from db.models import Event
from services.shared.errors import BadUserInput
from services.transfers.writer import Writer
from tests.actors import Person
from tests.importing import Importer, comments, row_counts, stored, task
from tests.jira_archives import Json, Tracker, pack


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def other() -> Tracker:
    return Tracker()


@pytest.fixture
def run(database: Database, ada: Person, tracker: Tracker, tmp_path: Path) -> Importer:
    return Importer(database, ada, tracker, tmp_path)


async def project(ada: Person, key: str) -> Json | None:
    """The project with the key, as REST shows it."""
    found = (await ada.get("/projects?limit=100")).json()
    return next((each for each in found if each["key"] == key), None)


async def name(ada: Person, tracker: Tracker) -> str | None:
    found = await project(ada, tracker.key)
    return None if found is None else str(found["name"])


class TestNames:
    @pytest.mark.parametrize("batch_size", [1, 500])
    async def test_record_of_the_project_wins_over_its_issues(
        self, run: Importer, tracker: Tracker, ada: Person, batch_size: int
    ) -> None:
        tracker.project(name="Name in project.json", description="As it is")
        tracker.issue(1, project={"key": tracker.key, "name": "Name in the issues"})
        tracker.issue(2, project=None)

        first, second = await run(batch_size=batch_size), await run()

        made = await project(ada, tracker.key)
        assert made is not None
        assert (made["name"], made["description"], made["version"]) == ("Name in project.json", "As it is", 1)
        assert (first.descriptions, first.descriptions_known) == (1, 0)
        assert (second.descriptions, second.descriptions_known) == (0, 1)

    async def test_record_that_comes_after_the_issues_wins_too(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        tracker.issue(1, project={"key": tracker.key, "name": "Name in the issues"})
        tracker.project(name="Name in project.json", description="As it is")

        first, second = await run(batch_size=1), await run()

        made = await project(ada, tracker.key)
        assert made is not None
        assert (made["name"], made["description"], made["version"]) == ("Name in project.json", "As it is", 2)
        assert (first.descriptions, second.descriptions, second.descriptions_known) == (1, 0, 1)
        async with database.reading() as session:
            [changes] = await session.scalars(
                select(Event.changes).where(Event.kind == "project.updated", Event.project_id == made["id"])
            )
        assert changes == {"name": ["Name in the issues", "Name in project.json"], "description": [None, "As it is"]}

    @pytest.mark.parametrize("first", [1, 2])
    async def test_name_in_any_issue_is_better_than_none(
        self, run: Importer, tracker: Tracker, ada: Person, first: int
    ) -> None:
        for number in (first, 3 - first):
            named = {"key": tracker.key, "name": "Name in\nthe issues"}
            tracker.issue(number, project=named if number == 1 else None)
        tracker.project(name=None, description="Unnamed")

        await run()

        assert await name(ada, tracker) == "Name in the issues"

    @pytest.mark.parametrize("record", [None, {"name": "\u200b"}, {"name": None}])
    async def test_project_without_a_name_is_called_by_its_key(
        self, run: Importer, tracker: Tracker, ada: Person, record: Json | None
    ) -> None:
        tracker.issue(1, project={"key": "AWAY", "name": "Of another project"})
        if record:
            tracker.project(**record)

        await run()

        assert await name(ada, tracker) == tracker.key

    async def test_record_of_a_later_archive_names_a_project_that_nobody_changed(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        tracker.issue(1)
        await run()
        tracker.project(name="Named later")

        summary = await run()

        assert (await name(ada, tracker), summary.descriptions) == ("Named later", 1)
        tracker.project(name="Named again")
        summary = await run()
        # what is there is not touched
        assert (await name(ada, tracker), summary.descriptions, summary.descriptions_known) == ("Named later", 0, 1)

    async def test_name_that_somebody_gave_it_here_stays(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(1)
        await run()
        made = await project(ada, tracker.key)
        assert made is not None
        await ada.patch(f"/projects/{made['id']}", {"name": "Ours"})
        tracker.project(name="Named later", description="Later")

        summary = await run()

        made = await project(ada, tracker.key)
        assert made is not None
        assert (made["name"], made["description"], summary.descriptions) == ("Ours", None, 0)

    async def test_archived_project_is_not_renamed(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(1)
        await run()
        made = await project(ada, tracker.key)
        assert made is not None
        await ada.patch(f"/projects/{made['id']}", {"archived": True})
        tracker.project(name="Named later")

        assert (await run()).descriptions == 0
        assert await name(ada, tracker) == "Invented"

    async def test_long_name_is_shortened(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(1)
        tracker.project(name="n" * 300)

        summary = await run()

        assert await name(ada, tracker) == "n" * 99 + "…"
        assert summary.notes.shortened["names of projects"] == 1

    async def test_project_that_was_deleted_comes_back_with_its_name(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        tracker.issue(1)
        tracker.project(name="Name in project.json")
        await run()
        made = await project(ada, tracker.key)
        assert made is not None
        await ada.delete(f"/projects/{made['id']}")

        summary = await run()

        assert (await name(ada, tracker), summary.descriptions) == ("Name in project.json", 1)


class TestRefusals:
    @pytest.mark.parametrize("key", ["TOO_CLEVER", "MUCHTOOLONGAKEY", "INBOX", "X"])
    async def test_key_that_cannot_be_one_here_is_told_and_the_others_go_on(
        self, run: Importer, tracker: Tracker, other: Tracker, ada: Person, tmp_path: Path, key: str
    ) -> None:
        other.key = key
        for number in (1, 2):
            other.issue(number, comments=[other.comment(author=other.person("eve"))], labels=["there"])
            tracker.issue(number, labels=["here"])

        summary = await run(_both(other, tracker, tmp_path), batch_size=3)

        assert summary.counts.tasks == 2
        refusal = summary.refused[key]
        assert "2 to 10 capital letters" in refusal.reason
        assert (list(summary.refused), refusal.tasks, refusal.comments) == ([key], 2, 2)
        counts = summary.counts
        assert (counts.projects, counts.tasks, counts.people, counts.tags) == (1, 2, 0, 1)

    async def test_key_of_a_project_that_is_no_import_is_told_and_the_others_go_on(
        self, run: Importer, tracker: Tracker, other: Tracker, ada: Person, database: Database, tmp_path: Path
    ) -> None:
        await ada.project(key=other.key)
        other.issue(1, comments=[other.comment(author=other.person("eve"))])
        tracker.issue(1)

        summary = await run(_both(other, tracker, tmp_path))
        before = await row_counts(database)
        again = await run(_both(other, tracker, tmp_path))

        assert f"a project with the key {other.key} is here already" in summary.refused[other.key].reason
        assert (await stored(database, other), summary.counts.tasks) == ({}, 1)
        assert (again.refused, again.counts.tasks_known) == (summary.refused, 1)
        assert await row_counts(database) == before

    async def test_archived_project_is_read_only_and_the_others_go_on(
        self, run: Importer, tracker: Tracker, other: Tracker, ada: Person, database: Database, tmp_path: Path
    ) -> None:
        first = other.issue(1, comments=[other.comment("one")])
        tracker.issue(1)
        await run(_both(other, tracker, tmp_path))
        made = await project(ada, other.key)
        assert made is not None
        await ada.patch(f"/projects/{made['id']}", {"archived": True})
        assert (await run(_both(other, tracker, tmp_path))).refused == {}

        other.issue(2, comments=[other.comment()])
        first["fields"]["comment"]["comments"].append(other.comment("two"))
        other.put(f"{other.key}-1.json", first)
        tracker.issue(2)
        summary = await run(_both(other, tracker, tmp_path))

        refusal = summary.refused[other.key]
        assert ("archived" in refusal.reason, refusal.tasks, refusal.comments) == (True, 1, 2)
        assert [r["body"] for r in await comments(ada, other, 1)] == ["one"]
        assert list(await stored(database, other)) == [1]
        assert list(await stored(database, tracker)) == [1, 2]
        assert (summary.counts.tasks, summary.counts.tasks_known, summary.counts.comments_known) == (1, 2, 1)

    async def test_project_that_is_archived_between_two_batches_is_noticed(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in (1, 2, 3):
            tracker.issue(number, comments=[tracker.comment()])
        _before_batch(
            monkeypatch, 3, lambda made: ada.patch(f"/projects/{made['id']}", {"archived": True}), ada, tracker
        )

        summary = await run(batch_size=1)

        assert list(await stored(database, tracker)) == [1, 2]
        refusal = summary.refused[tracker.key]
        assert (refusal.tasks, refusal.comments, summary.counts.projects) == (1, 1, 1)

    async def test_project_that_is_deleted_between_two_batches_is_made_again(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in (1, 2, 3):
            tracker.issue(number, labels=["a"], reporter=tracker.person("mia"))
        _before_batch(monkeypatch, 3, lambda made: ada.delete(f"/projects/{made['id']}"), ada, tracker)

        await run(batch_size=1)

        assert list(await stored(database, tracker)) == [3]
        # and whole by the next run
        assert (await run()).counts.tasks == 2


class TestKeys:
    async def test_project_gets_the_key_that_is_given(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        here, tracker.key = tracker.key, "TOO_CLEVER"
        parent = tracker.issue(1, summary="Parent")
        tracker.issue(2, parent=parent, issuelinks=[tracker.link(parent)], comments=[tracker.comment("kept")])
        tracker.project(name="Clever")
        path = tracker.pack(run._folder)
        refused = await run(path)
        assert list(refused.refused) == ["TOO_CLEVER"]

        summary = await run(path, keys={"TOO_CLEVER": here})
        mapped, plain = await run(path, keys={"TOO_CLEVER": here}), await run(path)

        tracker.key = here
        assert (await task(ada, tracker, 1))["ref"] == f"{here}-1"
        assert [r["body"] for r in await comments(ada, tracker, 2)] == ["kept"]
        assert await name(ada, tracker) == "Clever"
        assert (summary.refused, summary.unmapped, summary.kept_keys) == ({}, (), {})
        for again in (mapped, plain):
            assert again.refused == {}
            assert (again.counts.tasks, again.counts.tasks_known, again.links_known) == (0, 2, 1)
        async with database.reading() as session:
            origins = await session.scalars(
                select(Event.changes).where(
                    Event.kind.in_(("task.imported", "project.imported")),
                    Event.project_id == (await task(ada, tracker, 1))["project_id"],
                )
            )
        assert sorted(changes["source"][1] for changes in origins) == [
            f"{tracker.source}:TOO_CLEVER{end}" for end in ("", "-1", "-2")
        ]

    async def test_key_that_is_taken_here_is_given_another(
        self, run: Importer, tracker: Tracker, other: Tracker, ada: Person, database: Database
    ) -> None:
        await ada.project(key=tracker.key)
        tracker.issue(1)

        summary = await run(keys={tracker.key: other.key})

        assert (list(await stored(database, tracker)), list(await stored(database, other))) == ([], [1])
        assert summary.refused == {}

    async def test_key_that_another_project_of_the_archive_has_is_taken(
        self, run: Importer, tracker: Tracker, other: Tracker, tmp_path: Path
    ) -> None:
        tracker.issue(1)
        other.issue(1)

        summary = await run(_both(tracker, other, tmp_path), keys={other.key: tracker.key})

        assert (list(summary.refused), summary.counts.tasks) == ([other.key], 1)

    async def test_project_that_is_here_keeps_its_key(
        self, run: Importer, tracker: Tracker, other: Tracker, database: Database
    ) -> None:
        tracker.issue(1)
        await run()
        tracker.issue(2)

        summary = await run(keys={tracker.key: other.key})

        assert list(await stored(database, tracker)) == [1, 2]
        assert summary.kept_keys == {tracker.key: tracker.key}

    async def test_key_of_which_the_archive_holds_nothing_is_told(self, run: Importer, tracker: Tracker) -> None:
        tracker.issue(1)

        assert (await run(keys={"A_WAY": "AWAY"})).unmapped == ("A_WAY",)

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            ({"A_B": "A_C"}, "A_C cannot be the key"),
            ({"A_B": "INBOX"}, "INBOX cannot be the key"),
            ({"A_B": "ELEVENCHARS"}, "ELEVENCHARS cannot be the key"),
            ({"A_B": "AB", "A__B": "AB"}, "AB is given to more than one"),
        ],
    )
    async def test_keys_that_cannot_be_given_are_refused_before_anything_is_written(
        self, run: Importer, tracker: Tracker, database: Database, keys: dict[str, str], reason: str
    ) -> None:
        tracker.issue(1)
        before = await row_counts(database)

        with pytest.raises(BadUserInput, match=reason):
            await run(keys=keys)

        assert await row_counts(database) == before


def _before_batch(
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    do: Callable[[Json], Awaitable[object]],
    ada: Person,
    tracker: Tracker,
) -> None:
    """Do something with the tracker's project before a batch is written."""
    write, batches = Writer.write, itertools.count(1)

    async def disturbed(self: Writer, issues: Any, **options: Any) -> Any:
        if next(batches) == number:
            made = await project(ada, tracker.key)
            assert made is not None
            await do(made)
        return await write(self, issues, **options)

    monkeypatch.setattr(Writer, "write", disturbed)


def _both(first: Tracker, second: Tracker, folder: Path) -> Path:
    """One archive of both, in this order."""
    return pack(folder / "both.tar", {**first.files, **second.files})
