"""Imports: what Jira's issues, people, comments and sub-tasks become here."""

from pathlib import Path

import pytest
from sqlalchemy import delete, select, text

from db.driver.database import Database
from db.models import Event, ExternalId, Membership, Project, Relation, Task, User
from tests.actors import Person
from tests.importing import Importer, comments, relations, stored, task
from tests.jira_archives import CHANGED, Tracker, pack


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def run(database: Database, ada: Person, tracker: Tracker, tmp_path: Path) -> Importer:
    return Importer(database, ada, tracker, tmp_path)


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
        remarks = await comments(ada, tracker, 41)
        assert [(r["body"], r["author"]["fullName"], r["editedAt"]) for r in remarks] == [
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
        assert [r["body"] for r in await comments(ada, tracker, 1)] == [long]

    async def test_due_date_is_a_day(self, run: Importer, tracker: Tracker, ada: Person, database: Database) -> None:
        tracker.issue(1, duedate="2019-05-11")
        tracker.issue(2, duedate="soon")

        first, second = await run(), await run()

        made = await task(ada, tracker, 1)
        assert (made["due_on"], made["due_at"], made["start_at"]) == ("2019-05-11", None, None)
        answer = await ada.gql(
            "query ($ref: String!) { taskByRef(ref: $ref) { dueOn dueAt } }", {"ref": f"{tracker.key}-1"}
        )
        assert answer.data["taskByRef"] == {"dueOn": "2019-05-11", "dueAt": None}
        assert (await task(ada, tracker, 2))["due_at"] is None
        assert (first.counts.due_dates, second.counts.due_dates, second.counts.due_dates_known) == (1, 0, 1)
        assert first.notes.bad_times.names == [f"{tracker.key}-2 duedate"]

    @pytest.mark.parametrize(
        "summary", ["two\r\nlines", "zero\u200bwidth", "bell\x07", "\u200b", "Ame\u0301lie", "\u202etxt", "\u2028"]
    )
    async def test_title_is_one_that_the_api_takes(
        self, run: Importer, tracker: Tracker, ada: Person, summary: str
    ) -> None:
        tracker.issue(1, summary=summary)

        await run()

        made = await task(ada, tracker, 1)
        same = await ada.patch(f"/tasks/{made['id']}", {"title": made["title"]})
        assert (same.status_code, same.json()["title"]) == (200, made["title"])

    async def test_labels_that_differ_by_how_letters_are_composed_are_one_tag(
        self, run: Importer, tracker: Tracker, ada: Person
    ) -> None:
        tracker.issue(1, labels=["b\u00f6se", "bo\u0308se", "bo\u0308\u200bse"])

        summary = await run()

        assert [tag["name"] for tag in (await task(ada, tracker, 1))["tags"]] == ["b\u00f6se"]
        assert summary.counts.tags == 1

    async def test_empty_and_anonymous_comments_are_kept(self, run: Importer, tracker: Tracker, ada: Person) -> None:
        tracker.issue(1, comments=[tracker.comment(None), tracker.comment("", author=tracker.person("mia"))])

        summary = await run()

        remarks = await comments(ada, tracker, 1)
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
        ours = [row for row in rows if row.project_id == project_id or f"{tracker.source}:" in str(row.changes)]
        [person] = [row.entity_id for row in ours if row.kind == "user.imported"]
        assert {row.kind: row.changes for row in ours} == {
            "project.imported": {"source": [None, f"{tracker.source}:{tracker.key}"]},
            "user.imported": {"source": [None, f"{tracker.source}:mia.{tracker.token}"]},
            "tag.created": {"name": [None, "Red"]},
            "member.added": {"user_id": [None, person], "role": [None, "member"]},
            "task.imported": {"source": [None, f"{tracker.source}:{tracker.key}-1"]},
            "comment.imported": {"source": [None, f"{tracker.source}:{remark['id']}"]},
        }
        assert {(row.actor_method, row.actor_id, row.notify) for row in ours} == {("system", None, False)}
        assert len({row.event_id for row in ours}) == 6

    async def test_two_sources_with_the_same_ids_are_kept_apart(
        self, run: Importer, tracker: Tracker, ada: Person, tmp_path: Path
    ) -> None:
        other = Tracker()
        remark = tracker.comment("here")
        issue = tracker.issue(1, summary="Here", comments=[remark])
        same = other.issue(1, summary="There", comments=[remark | {"body": "there"}])
        other.put(f"{other.key}-1.json", same | {"id": issue["id"]})

        await run()
        await run(other.pack(tmp_path, "other.tar"), source=other.source)

        assert (await task(ada, tracker, 1))["title"] == "Here"
        assert [r["body"] for r in await comments(ada, other, 1)] == ["there"]


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
        path = pack(tmp_path / "dump.tar", {**tracker.files, **other.files})

        summary = await run(path)

        assert (await stored(database, tracker))[1].parent_id is None
        assert (summary.parents_linked, summary.parents_missing) == (0, 1)


class TestLinks:
    async def test_links_become_relations_whichever_side_names_them(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        first = tracker.issue(1)
        tracker.issue(2, issuelinks=[tracker.link(first, "Blocks"), tracker.link(first, "Cloners")])
        tracker.issue(3, issuelinks=[tracker.link(first, "Blocks", inward=True), tracker.link(first, "Depends")])
        tracker.issue(4, issuelinks=[tracker.link(first, "Duplicate"), tracker.link(first, "Made up")])
        first["fields"]["issuelinks"] = [tracker.link({"id": first["id"]}), {"type": None}, "?", {"outwardIssue": 7}]
        tracker.put(f"{tracker.key}-1.json", first)

        summary, again = await run(batch_size=2), await run()

        assert await relations(database, tracker) == [
            *((1, "blocks", 3), (1, "relates_to", 2), (1, "relates_to", 4)),
            *((2, "blocks", 1), (4, "duplicates", 1)),
        ]
        # Depends says of 1 and 3 what Blocks says
        assert (summary.links, summary.links_known, summary.links_refused, summary.links_missing) == (5, 0, 0, 0)
        assert (again.links, again.links_known) == (0, 5)

    async def test_link_that_both_issues_name_is_one_relation_with_two_events(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        first = tracker.issue(1)
        second = tracker.issue(2, issuelinks=[tracker.link({"id": first["id"]}, "Blocks", inward=True)])
        first["fields"]["issuelinks"] = [tracker.link({"id": second["id"]}, "Blocks")]
        tracker.put(f"{tracker.key}-1.json", first)

        summary, again = await run(batch_size=1), await run(batch_size=1)

        assert await relations(database, tracker) == [(1, "blocks", 2)]
        assert (summary.links, summary.links_known) == (1, 0)
        assert (again.links, again.links_known) == (0, 1)
        ids = [row.id for row in (await stored(database, tracker)).values()]
        async with database.reading() as session:
            written = await session.all(
                select(Event.task_id, Event.notify).where(Event.task_id.in_(ids), Event.kind == "relation.created")
            )
        assert sorted(tuple(row) for row in written) == [(task_id, False) for task_id in sorted(ids)]

    async def test_link_waits_for_an_issue_of_a_later_archive(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        tracker.issue(1, issuelinks=[tracker.link({"id": "late"}, "Blocks")])
        assert (await run()).links_missing == 1

        late = tracker.issue(2)
        tracker.put(f"{tracker.key}-2.json", late | {"id": "late"})
        summary = await run()

        assert await relations(database, tracker) == [(1, "blocks", 2)]
        assert (summary.links, summary.links_missing) == (1, 0)

    async def test_circles_are_left_out(self, run: Importer, tracker: Tracker, database: Database) -> None:
        first = tracker.issue(1)
        second = tracker.issue(2, issuelinks=[tracker.link({"id": first["id"]}, "Blocks")])
        first["fields"]["issuelinks"] = [tracker.link({"id": second["id"]}, "Blocks")]
        tracker.put(f"{tracker.key}-1.json", first)

        summary = await run()

        assert len(await relations(database, tracker)) == 1
        assert (summary.links, summary.links_refused) == (1, 1)
        again = await run()
        assert (again.links, again.links_known, again.links_refused) == (0, 1, 1)

    async def test_link_to_a_task_that_was_deleted_here_is_forgotten(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        first = tracker.issue(1)
        await run()
        async with database.writing() as session:
            await session.execute(delete(Task).where(Task.id == (await stored(database, tracker))[1].id))
        tracker.issue(2, issuelinks=[tracker.link(first, "Blocks")])

        summary, again = await run(), await run()

        assert (summary.links, summary.links_known, summary.links_missing) == (0, 1, 0)
        assert (again.links, again.links_known, again.links_missing) == (0, 1, 0)

    async def test_relation_that_was_ended_here_does_not_come_back(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database
    ) -> None:
        first = tracker.issue(1)
        tracker.issue(2, issuelinks=[tracker.link(first, "Blocks")])
        await run()
        second_id = (await task(ada, tracker, 2))["id"]
        [relation] = (await ada.get(f"/tasks/{second_id}/relations")).json()
        assert (await ada.delete(f"/tasks/{second_id}/relations/{relation['id']}")).status_code == 204

        summary = await run()

        assert await relations(database, tracker) == []
        assert (summary.links, summary.links_known, summary.counts.links_unmade) == (0, 1, 0)

    async def test_relations_of_a_database_without_notes_of_them_are_known(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        """So an earlier version left them."""
        first = tracker.issue(1)
        tracker.issue(2, issuelinks=[tracker.link(first, "Blocks"), tracker.link(first, inward=True)])
        await run()
        async with database.writing() as session:
            await session.execute(
                delete(ExternalId).where(ExternalId.system == tracker.source, ExternalId.kind == "link")
            )
            await session.execute(delete(Relation).where(Relation.kind == "blocks"))

        summary = await run()

        assert await relations(database, tracker) == [(1, "relates_to", 2)]
        assert (summary.links, summary.links_known, summary.counts.links_unmade) == (0, 1, 1)

    async def test_link_that_is_new_to_an_issue_that_is_there_waits_for_the_other(
        self, run: Importer, tracker: Tracker, database: Database
    ) -> None:
        first = tracker.issue(1)
        await run()
        second = tracker.issue(2)
        first["fields"]["issuelinks"] = [tracker.link(second, "Blocks"), tracker.link({"id": "never"})]
        tracker.put(f"{tracker.key}-1.json", first)

        summary = await run(batch_size=1)

        assert await relations(database, tracker) == [(1, "blocks", 2)]
        assert (summary.links, summary.links_known, summary.links_missing) == (1, 0, 1)

    async def test_link_into_an_archived_project_waits(
        self, run: Importer, tracker: Tracker, ada: Person, database: Database, tmp_path: Path
    ) -> None:
        other = Tracker()
        tracker.issue(1, issuelinks=[tracker.link(other.issue(1), "Blocks")])
        await run()
        project_id = (await task(ada, tracker, 1))["project_id"]
        await ada.patch(f"/projects/{project_id}", {"archived": True})
        both = pack(tmp_path / "both.tar", {**tracker.files, **other.files})

        waiting = await run(both)
        await ada.patch(f"/projects/{project_id}", {"archived": False})
        summary = await run(both)

        assert (waiting.links, waiting.links_archived, waiting.links_missing) == (0, 1, 0)
        assert (summary.links, summary.links_archived) == (1, 0)

    async def test_id_with_a_slash_is_an_id(self, run: Importer, tracker: Tracker, database: Database) -> None:
        first = tracker.issue(1)
        tracker.put(f"{tracker.key}-1.json", first | {"id": "a/b"})
        tracker.issue(2, issuelinks=[tracker.link({"id": "a/b"}, "Blocks")], parent={"id": "a/b"})

        await run()

        assert await relations(database, tracker) == [(2, "blocks", 1)]
        tasks = await stored(database, tracker)
        assert tasks[2].parent_id == tasks[1].id


class TestStatistics:
    async def test_planner_knows_what_came_in(self, run: Importer, tracker: Tracker, database: Database) -> None:
        """Without, PostgreSQL took 30 s for a filter over the real archive that takes 1 s."""
        for number in range(1, 40):
            tracker.issue(number)
        await run()

        known = "SELECT stat FROM sqlite_stat1 WHERE tbl = 'tasks'"
        if database.dialect == "postgresql":
            known = "SELECT reltuples FROM pg_class WHERE relname = 'tasks' AND reltuples > 0"
        async with database.reading() as session:
            assert await session.first(text(known)) is not None
