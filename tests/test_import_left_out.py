"""What Jira has and Tandem has no place for is counted; what was not for everybody there is not shown to everybody."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.driver.database import Database
from services.transfers.archives import Archive
from services.transfers.formats.jira.reader import JiraReader
from services.transfers.records import ImportedTask, Notes
from tests.actors import Person
from tests.importing import Importer, comments, relations, stored, task
from tests.jira_archives import Tracker


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def run(database: Database, ada: Person, tracker: Tracker, tmp_path: Path) -> Importer:
    return Importer(database, ada, tracker, tmp_path)


def read(tracker: Tracker, folder: Path) -> tuple[list[ImportedTask], Notes]:
    reader = JiraReader()
    with Archive(tracker.pack(folder)) as archive:
        records = [reader.read(file) for file in archive.files()]
    return [record for record in records if isinstance(record, ImportedTask)], reader.notes


class TestLeftOut:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"attachment": [{}, {}]}, {"attachments": 2}),
            ({"components": [{"name": "a"}], "versions": [1, 2], "fixVersions": [3]}, None),
            ({"issuetype": {"name": "Bug"}}, {"issue types": 1}),
            ({"environment": "Windows"}, {"environments": 1}),
            ({"epic": {"id": 1}}, {"epics": 1}),
            ({"sprint": {"id": 1}, "closedSprints": [{"id": 2}, {"id": 3}]}, {"sprints": 3}),
            ({"worklog": {"total": 25, "maxResults": 20, "worklogs": [{}] * 20}}, {"work logs": 25}),
            ({"worklog": {"worklogs": [{}] * 3}}, {"work logs": 3}),
            ({"worklog": {"total": 0, "worklogs": []}}, {}),
            ({"votes": {"votes": 4, "hasVoted": False}}, {"votes": 4}),
            ({"votes": {"votes": 0, "hasVoted": False}}, {}),
            ({"watches": {"watchCount": 2, "isWatching": False}}, {"watchers": 2}),
            ({"flagged": True}, {"flags": 1}),
            ({"flagged": False}, {}),
            ({"timetracking": {"originalEstimate": "1d"}, "timespent": 60}, {"issues with time tracking": 1}),
            ({"timetracking": {}, "timespent": 0, "progress": {"progress": 0, "total": 0}}, {}),
            ({"customfield_1": 0.0, "customfield_2": None, "customfield_3": ["a", "b"]}, None),
            ({"whiteboard": "notes"}, {"“whiteboard”": 1}),
            ({"lastViewed": "2020-01-01", "subtasks": [{}], "workratio": -1}, {}),
        ],
    )
    def test_field_without_a_place_has_its_number(
        self, tracker: Tracker, tmp_path: Path, fields: dict[str, Any], expected: dict[str, int] | None
    ) -> None:
        if "components" in fields:
            expected = {"components": 1, "affected versions": 2, "fix versions": 1}
        if "customfield_1" in fields:
            expected = {"customfield_1": 1, "customfield_3": 1}
        tracker.issue(1, **fields)

        _, notes = read(tracker, tmp_path)

        assert dict(notes.left_out) == expected

    def test_people_and_dates_without_a_place_have_their_number(self, tracker: Tracker, tmp_path: Path) -> None:
        mia, tom = tracker.person("mia", emailAddress="mia@example.com"), tracker.person("tom", active=False)
        remark = tracker.comment(author=mia) | {"updateAuthor": tom}
        resolved = "2015-03-02T08:00:00.000+0000"
        tracker.issue(1, reporter=mia, creator=tom, assignee=tom, comments=[remark], resolutiondate=resolved)
        tracker.issue(2, reporter=mia, creator=mia, assignee={"displayName": "Nobody"}, comments=[remark])

        _, notes = read(tracker, tmp_path)

        assert dict(notes.left_out) == {
            "creators who were not the reporter": 1,
            "editors of comments who were not the author": 2,
            "resolution dates of what was not completed": 1,
            "e-mail addresses": 1,
        }
        assert (notes.inactive_people, dict(notes.unreadable)) == (1, {"people": 1})

    def test_time_zone_that_is_none_is_told(self, tracker: Tracker, tmp_path: Path) -> None:
        tracker.issue(1, reporter=tracker.person("mia", timeZone="Mars/Olympus"), assignee=tracker.person("tom"))

        [issue], notes = read(tracker, tmp_path)

        assert issue.created_by is not None
        assert issue.created_by.timezone == "UTC"
        assert dict(notes.unknown) == {("time zone", "Mars/Olympus"): 1}

    def test_parts_of_documents_and_projects_have_their_number(self, tracker: Tracker, tmp_path: Path) -> None:
        issue = tracker.issue(1)
        history = {"total": 2, "histories": [{}, {}]}
        tracker.put(f"{tracker.key}-1.json", issue | {"changelog": history, "expand": "names", "extra": "x"})
        tracker.project(components=[{}, {}], lead={"key": "mia"}, avatarUrls={"16x16": "/"}, mood="good")

        _, notes = read(tracker, tmp_path)

        assert dict(notes.left_out) == {
            "entries of the change history": 2,
            "“extra”": 1,
            "components of projects": 2,
            "leads of projects": 1,
            "“mood” of projects": 1,
        }

    def test_values_of_another_kind_are_counted(self, tracker: Tracker, tmp_path: Path) -> None:
        first = tracker.issue(
            1,
            labels="Red",
            project=[],
            status="Open",
            parent="P-1",
            comment={"comments": ["words", tracker.comment("real"), None], "total": 3},
            issuelinks=["?", {"type": None}, {"outwardIssue": 7}],
            assignee="mia",
        )
        first["fields"]["issuelinks"].append(tracker.link({"id": first["id"]}))
        tracker.put(f"{tracker.key}-1.json", first)

        [issue], notes = read(tracker, tmp_path)

        assert [comment.body for comment in issue.comments] == ["real"]
        assert dict(notes.unreadable) == {
            **{"labels": 1, "project": 1, "status": 1, "parent": 1},
            **{"comments": 2, "links": 4, "outwardIssue": 1, "people": 1},
        }
        assert notes.comments_not_in_archive == 0

    async def test_no_value_of_another_kind_stops_an_import(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        """Every value of an issue in turn, also within, is replaced by one of every kind."""
        plain = tracker.issue(
            1,
            duedate="2019-05-11",
            reporter=tracker.person("mia"),
            creator=tracker.person("tom"),
            assignee=tracker.person("mia"),
            parent={"id": "1"},
            labels=["Red"],
            status={"name": "Soon", "statusCategory": {"key": "done"}},
            resolution={"name": "Fixed"},
            resolutiondate="2015-03-02T08:00:00.000+0000",
            security={},
            issuerestriction={"issuerestrictions": {}},
            issuelinks=[tracker.link({"id": "1", "key": "A-1"})],
            worklog={"total": 1, "worklogs": [{}]},
            votes={"votes": 1},
            timetracking={"timeSpent": "1d"},
            comments=[tracker.comment(properties=[{"key": "sd.public.comment", "value": {"internal": False}}])],
        )
        kinds: list[Any] = [
            None,
            True,
            False,
            0,
            -7,
            1.5,
            10**400,
            "",
            "\u200b",
            "words",
            [],
            [[]],
            ["x"],
            {},
            {"id": {}},
        ]
        number = 1
        for path in _paths(plain):
            for kind in kinds:
                number += 1
                changed = _replaced(plain, path, kind)
                if path not in (("id",), ("key",), ("fields",)):
                    changed |= {"id": f"{tracker.token}.{number}", "key": f"{tracker.key}-{number}"}
                tracker.put(f"{tracker.key}-{number}.json", changed)

        first, second = await run(include_restricted=True), await run()

        assert first.counts.tasks > 1000
        assert second.counts.tasks == 0

    def test_kinds_of_links_that_become_plain_relations_are_counted_once(
        self, tracker: Tracker, tmp_path: Path
    ) -> None:
        names = ("Cloners", "Relates", "Blocks", "Made up")
        tracker.issue(1, issuelinks=[tracker.link({"id": name}, name) for name in names])
        tracker.issue(2, issuelinks=[tracker.link({"id": name}, name, inward=True) for name in names])

        _, notes = read(tracker, tmp_path)

        assert dict(notes.left_out) == {"kinds of links that say more than “relates”": 2}

    def test_what_is_longer_than_the_api_takes_is_counted(self, tracker: Tracker, tmp_path: Path) -> None:
        long = "x" * 65_537
        tracker.issue(
            1,
            summary="t" * 201,
            description=long,
            comments=[tracker.comment(long, author=tracker.person("mia", displayName="n" * 201))],
            labels=[f"l{n}" for n in range(51)],
        )
        tracker.issue(2, summary="t" * 200, description=long[1:], comments=[tracker.comment(long[1:])])
        tracker.project(name="p" * 101, description=long)

        [issue, _], notes = read(tracker, tmp_path)

        assert (len(issue.title), len(issue.tags)) == (201, 51)
        assert dict(notes.too_long) == {
            **{"titles": 1, "descriptions": 2, "comments": 1},
            **{"names of people": 1, "lists of tags": 1},
        }
        assert dict(notes.shortened) == {"names of projects": 1}


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    """Where there is a value in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in items:
        yield (name,)
        yield from ((name, *rest) for rest in _paths(each))


def _replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """A copy of a document with another value at a path."""
    if not path:
        return by
    changed = copy.copy(value)
    changed[path[0]] = _replaced(value[path[0]], path[1:], by)
    return changed


RESTRICTIONS: list[dict[str, Any]] = [
    {"visibility": {"type": "role", "value": "Administrators"}},
    {"visibility": {"type": "group", "value": "jira-developers", "identifier": "1"}},
    {"visibility": "Administrators"},
    {"jsdPublic": False},
    {"jsdPublic": "false"},
    {"properties": [{"key": "sd.public.comment", "value": {"internal": True}}]},
    {"properties": [{"key": "other"}, {"key": "sd.public.comment", "value": {"internal": "true"}}]},
    {"jsdPublic": True, "visibility": {"type": "role", "value": "Service Desk Team"}},
]
OPEN: list[dict[str, Any]] = [
    {},
    {"visibility": None},
    {"visibility": {}},
    {"jsdPublic": True},
    {"properties": [{"key": "sd.public.comment", "value": {"internal": False}}, "?"]},
    {"properties": None},
]


class TestRestricted:
    @pytest.mark.parametrize("restriction", RESTRICTIONS)
    def test_restriction_of_a_comment_is_seen(
        self, tracker: Tracker, tmp_path: Path, restriction: dict[str, Any]
    ) -> None:
        tracker.issue(1, comments=[tracker.comment(**restriction)])

        [issue], _ = read(tracker, tmp_path)

        assert [comment.restricted for comment in issue.comments] == [True]

    @pytest.mark.parametrize("nothing", OPEN)
    def test_comment_for_everybody_is_for_everybody(
        self, tracker: Tracker, tmp_path: Path, nothing: dict[str, Any]
    ) -> None:
        tracker.issue(1, comments=[tracker.comment(**nothing)])

        [issue], _ = read(tracker, tmp_path)

        assert [comment.restricted for comment in issue.comments] == [False]

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"security": {"id": "1", "name": "Reporters only"}}, True),
            ({"issuerestriction": {"issuerestrictions": {"projectrole": [{"id": "1"}]}, "shouldDisplay": True}}, True),
            ({"security": None, "issuerestriction": {"issuerestrictions": {}, "shouldDisplay": False}}, False),
        ],
    )
    def test_restriction_of_an_issue_is_seen(
        self, tracker: Tracker, tmp_path: Path, fields: dict[str, Any], expected: bool
    ) -> None:
        tracker.issue(1, **fields)

        [issue], notes = read(tracker, tmp_path)

        assert issue.restricted is expected
        assert not notes.left_out

    async def test_comment_for_a_role_is_left_out_and_counted(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        eve = tracker.person("eve")
        tracker.issue(1, comments=[tracker.comment("for all"), _secret(tracker, author=eve)])

        first, second = await run(), await run()

        assert [r["body"] for r in await comments(ada, tracker, 1)] == ["for all"]
        assert (first.counts.comments, first.counts.restricted_comments) == (1, 1)
        # and so is who appears nowhere else
        assert (first.counts.people, first.counts.members) == (0, 0)
        assert (second.counts.comments_known, second.counts.restricted_comments) == (1, 1)
        assert second.counts.restricted_comments_known == 0

    async def test_issue_with_a_security_level_is_left_out_with_all_that_belongs_to_it(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        secret = tracker.issue(
            1,
            security={"name": "Staff"},
            labels=["hidden"],
            reporter=tracker.person("eve"),
            comments=[tracker.comment("in it"), _secret(tracker)],
        )
        tracker.issue(2, parent=secret, issuelinks=[tracker.link(secret, "Blocks")])

        summary = await run()

        assert list(await stored(database, tracker)) == [2]
        counts = summary.counts
        assert (counts.restricted_tasks, counts.restricted_comments) == (1, 2)
        assert (counts.people, counts.tags, counts.comments) == (0, 0, 0)
        assert (summary.parents_missing, summary.links_missing) == (1, 1)

    async def test_project_of_which_everything_is_restricted_is_not_made(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        tracker.issue(1, security={"name": "Staff"})

        summary = await run()

        assert (summary.counts.projects, summary.counts.restricted_tasks) == (0, 1)
        assert tracker.key not in {project["key"] for project in (await ada.get("/projects")).json()}

    async def test_what_is_restricted_comes_in_where_it_is_asked_for(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        secret = tracker.issue(1, security={"name": "Staff"}, comments=[tracker.comment("in it")])
        tracker.issue(2, comments=[_secret(tracker)], parent=secret, issuelinks=[tracker.link(secret, "Blocks")])
        await run()

        summary = await run(include_restricted=True)

        assert [r["body"] for r in await comments(ada, tracker, 1)] == ["in it"]
        assert [r["body"] for r in await comments(ada, tracker, 2)] == ["only for administrators"]
        counts = summary.counts
        assert (counts.tasks, counts.comments) == (1, 2)
        assert (counts.widened_tasks, counts.widened_comments, counts.restricted_comments) == (1, 1, 0)
        # what waited for it has it now
        assert await relations(database, tracker) == [(2, "blocks", 1)]
        assert (summary.parents_linked, summary.links) == (1, 1)

    async def test_what_an_earlier_run_brought_in_stays_and_is_told(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        tracker.issue(1, security={"name": "Staff"}, comments=[tracker.comment("in it")])
        tracker.issue(2, comments=[_secret(tracker), _secret(tracker)])
        await run(include_restricted=True)
        [gone, _] = await comments(ada, tracker, 2)
        await ada.delete(f"/tasks/{(await task(ada, tracker, 2))['id']}/comments/{gone['databaseId']}")

        summary = await run()

        assert [r["body"] for r in await comments(ada, tracker, 1)] == ["in it"]
        assert len(await comments(ada, tracker, 2)) == 1
        counts = summary.counts
        assert (counts.restricted_tasks, counts.restricted_tasks_known) == (0, 1)
        assert (counts.restricted_comments, counts.restricted_comments_known) == (1, 2)
        assert (counts.tasks_known, counts.comments_known) == (1, 0)


def _secret(tracker: Tracker, **fields: Any) -> Any:
    return tracker.comment("only for administrators", visibility={"type": "role", "value": "Administrators"}, **fields)
