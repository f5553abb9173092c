"""Notifications: who is told of what and why, once each, on both doors; and what may be done with them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from core.clock import now, wire_format
from db.driver.database import Database
from db.models import Event, EventConsumer, Notification
from services.events import due_dates, notices, notifier
from services.events.consumers import catch_up
from services.events.due_dates import DueDates, soon_since
from services.events.notices import mentioned
from services.events.notifier import CONSUMER
from services.events.numbering import END, number_all
from services.shared.node_ids import encode
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import run
from tests.statements import StatementCounter
from tests.streaming import notified


async def settle(database: Database) -> None:
    """Everything has its position, and everybody was told."""
    await number_all(database)
    await catch_up(database, CONSUMER)


async def told(person: Person, door: Door = "rest") -> list[tuple[str, int | None]]:
    """The kinds of a person's notifications with their tasks, oldest first."""
    result = await run(door, "list_notifications", person)
    assert result.code is None, result.message
    return [(item["kind"], item["task_id"]) for item in reversed(result.body)]


async def end_of_feed(database: Database) -> int:
    """Where the feed ends."""
    await number_all(database)
    async with database.reading() as session:
        return int(await session.scalar(END))


@pytest.fixture
async def project(ada: Person, bob: Person, database: Database) -> dict[str, Any]:
    """Ada's, with Bob in it."""
    made = await ada.project()
    await ada.invite(made, bob, "member")
    await settle(database)
    async with database.writing() as session:
        await session.execute(delete(Notification).where(Notification.user_id == bob.id))
    return made


class TestWhoIsTold:
    @on_both_doors
    async def test_whoever_is_to_do_it(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        first = await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        second = await ada.task(project_id=project["id"])
        await ada.patch(f"/tasks/{second['id']}", {"assignee_ids": [ada.id, bob.id]})
        await ada.patch(f"/tasks/{second['id']}", {"title": "Renamed"})
        await settle(database)

        assert await told(bob, door) == [("assigned", first["id"]), ("assigned", second["id"])]
        assert await told(ada, door) == []  # nobody is told of what he did himself

    async def test_whoever_is_mentioned_once_for_each_text(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        name = bob.username.upper()
        task = await ada.task(project_id=project["id"], description=f"Ask @{name}, or @{name}")
        await ada.patch(f"/tasks/{task['id']}", {"description": f"Still ask @{name}"})
        comment = await ada.comment(task["id"], f"(@{name}) mail@{name} @{name}x")
        await ada.patch(f"/tasks/{task['id']}/comments/{comment['id']}", {"body": f"@{name} again"})
        await settle(database)

        assert await told(bob) == [("mentioned", task["id"]), ("mentioned", task["id"])]
        [newest, _] = (await bob.get("/notifications")).json()
        assert (newest["comment_id"], newest["actor_id"]) == (comment["id"], ada.id)

    async def test_those_who_made_it_are_to_do_it_or_commented(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        own = await bob.task(project_id=project["id"])
        theirs = await ada.task(project_id=project["id"])
        other = await ada.task(project_id=project["id"])
        await bob.comment(theirs["id"])
        await settle(database)
        assert await told(ada) == [("commented", theirs["id"])]
        for task in (own, theirs, other):
            await ada.comment(task["id"])
            await ada.patch(f"/tasks/{task['id']}", {"status": "in_progress"})
        await settle(database)

        assert await told(bob) == [
            ("commented", own["id"]),
            ("status_changed", own["id"]),
            ("commented", theirs["id"]),
            ("status_changed", theirs["id"]),
        ]

    async def test_those_whose_task_may_begin(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        blocker = await ada.task(project_id=project["id"])
        waiting, done = await bob.task(project_id=project["id"]), await bob.task(project_id=project["id"])
        for task in (waiting, done):
            made = await ada.post(f"/tasks/{blocker['id']}/relations", {"kind": "blocks", "target_id": task["id"]})
            assert made.status_code == 201
        await bob.patch(f"/tasks/{done['id']}", {"status": "completed"})
        await ada.patch(f"/tasks/{blocker['id']}", {"status": "completed"})
        await settle(database)

        assert await told(bob) == [("unblocked", waiting["id"])]

    async def test_who_is_added_and_removed(self, ada: Person, bob: Person, database: Database) -> None:
        made = await ada.project()
        await ada.invite(made, bob, "member")
        await ada.delete(f"/projects/{made['id']}/members/{bob.id}")
        again = await ada.project()
        await ada.invite(again, bob, "member")
        await ada.delete(f"/projects/{again['id']}")
        await settle(database)

        # that he was added may have been told in time, or not any more
        assert [kind for kind, _ in await told(bob) if kind != "added"] == ["removed", "removed"]
        third = await ada.project()
        await ada.invite(third, bob, "member")
        await settle(database)
        newest = (await bob.get("/notifications")).json()[0]
        assert (newest["kind"], newest["project_id"]) == ("added", third["id"])

    async def test_nobody_who_may_not_read_it_and_nobody_where_that_is_asked_for(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        await ada.task(description=f"@{bob.username}")  # in her Inbox
        task = await ada.task(project_id=project["id"])
        answer = await ada.rest("PATCH", f"/tasks/{task['id']}?notify=false", json={"assignee_ids": [bob.id]})
        assert answer.status_code == 200
        await settle(database)

        assert await told(bob) == []


class TestMaking:
    async def test_each_is_made_once_however_often_it_is_gone_through(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        before = await end_of_feed(database)
        task = await ada.task(project_id=project["id"], assignee_ids=[bob.id], description=f"@{bob.username}")
        await settle(database)
        [only] = (await bob.get("/notifications")).json()
        await bob.patch(f"/notifications/{only['id']}", {"read": True})
        async with database.writing() as session:
            await session.execute(
                update(EventConsumer).where(EventConsumer.name == CONSUMER.name).values(position=before)
            )
        await settle(database)

        assert await told(bob) == [("mentioned", task["id"])]
        assert (await bob.get("/notifications")).json()[0]["read_at"] is not None

    async def test_many_at_once_make_each_once(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        tasks = [await ada.task(project_id=project["id"], assignee_ids=[bob.id]) for _ in range(12)]
        await number_all(database)
        await asyncio.gather(*(catch_up(database, CONSUMER) for _ in range(6)))

        assert await told(bob) == [("assigned", task["id"]) for task in tasks]

    async def test_so_many_are_kept_and_no_longer_than_so_long(
        self,
        ada: Person,
        bob: Person,
        project: dict[str, Any],
        database: Database,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(notifier, "KEPT", 3)
        tasks = [await ada.task(project_id=project["id"], assignee_ids=[bob.id]) for _ in range(5)]
        await settle(database)
        assert await told(bob) == [("assigned", task["id"]) for task in tasks[2:]]

        async with database.writing() as session:
            old = now() - timedelta(days=notifier.KEPT_DAYS + 1)
            await session.execute(update(Notification).where(Notification.user_id == bob.id).values(created_at=old))
        last = await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await settle(database)
        assert await told(bob) == [("assigned", last["id"])]

    async def test_statements_do_not_grow_with_events(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        counts = []
        for more in (2, 20):
            before = await end_of_feed(database)
            for _ in range(more):
                task = await ada.task(project_id=project["id"], assignee_ids=[bob.id])
                await ada.comment(task["id"], f"@{bob.username}")
            await number_all(database)
            async with database.reading() as session:
                ids = await session.scalars(select(Event.id).where(Event.position > before))
                events = await notices.happened(session, ids)
                with StatementCounter(database) as statements:
                    found = await notices.notices_of(session, events)
            assert len(found) == 2 * more
            counts.append(statements.count)
            await settle(database)

        assert counts[0] == counts[1]

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            (None, set()),
            ("@ada, @BOB_2! (@cid)", {"ada", "bob_2", "cid"}),
            ("a@ada.com @@ada ada@bob /@ada @ab @" + "x" * 51, set()),
            ("@adä", set()),
            ("ä@ada", set()),
        ],
    )
    def test_mentions(self, text: str | None, names: set[str]) -> None:
        assert mentioned(text) == names

    def test_very_many_mentions_are_cut(self) -> None:
        assert len(mentioned(" ".join(f"@user{number}" for number in range(10_000)))) == notices.MAX_MENTIONED


class TestReading:
    @on_both_doors
    async def test_read_unread_and_all(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        for _ in range(3):
            await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await settle(database)
        listed = (await run(door, "list_notifications", bob)).body
        newest, middle, oldest = (item["id"] for item in listed)
        assert [item["read_at"] for item in listed] == [None] * 3

        read = await run(door, "update_notification", bob, {"read": True}, notification_id=middle)
        assert read.body["read_at"] is not None
        again = await run(door, "update_notification", bob, {"read": True}, notification_id=middle)
        assert again.body == read.body
        unread = await run(door, "update_notification", bob, {"read": False}, notification_id=middle)
        assert unread.body["read_at"] is None

        through = await run(door, "update_notifications", bob, {"read": True, "through_id": middle})
        assert through.body == {"changed": 2}
        left = await bob.get("/notifications", params={"unread": True, "total": True})
        assert [item["id"] for item in left.json()] == [newest]
        assert left.headers["x-total-count"] == "1"
        assert [item["id"] for item in (await bob.get("/notifications?unread=false")).json()] == [middle, oldest]
        assert (await run(door, "update_notifications", bob, {"read": True})).body == {"changed": 1}
        assert (await run(door, "update_notifications", bob, {"read": False})).body == {"changed": 3}

    @on_both_doors
    async def test_others_have_none_of_it(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await settle(database)
        [only] = (await bob.get("/notifications")).json()

        for call in (
            await run(door, "update_notification", ada, {"read": True}, notification_id=only["id"]),
            await run(door, "update_notifications", ada, {"read": True, "through_id": only["id"]}),
        ):
            assert call.code == "NOT_FOUND"
        assert (await ada.get(f"/notifications/{only['id']}")).status_code == 404
        assert (await bob.get("/notifications?unread=true")).json() == [only]

    @on_both_doors
    @pytest.mark.parametrize("body", [{}, {"read": None}, {"read": "yes"}, {"read": True, "other": 1}], ids=str)
    async def test_what_does_not_hold_is_refused(self, ada: Person, door: Door, body: dict[str, Any]) -> None:
        assert (await run(door, "update_notifications", ada, body)).code == "BAD_USER_INPUT"

    async def test_what_is_gone_is_not_shown_with_it(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        task = await ada.task(project_id=project["id"], assignee_ids=[bob.id], title="Secret")
        await settle(database)
        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")

        query = "{ notifications { edges { node { kind task { title } project { name } } } } }"
        [edge] = (await bob.gql(query)).data["notifications"]["edges"]
        assert edge["node"] == {"kind": "ASSIGNED", "task": None, "project": None}
        assert task["title"] not in (await bob.get("/notifications")).text


class TestList:
    @on_both_doors
    async def test_it_is_filtered(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        first = await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        second = await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await ada.patch(f"/tasks/{first['id']}", {"status": "in_progress"})
        await settle(database)
        [_, _, oldest] = (await run(door, "list_notifications", bob)).body
        await run(door, "update_notification", bob, {"read": True}, notification_id=oldest["id"])

        ref = first["id"] if door == "rest" else encode("Task", first["id"])
        for condition, expected in (
            ({"unread": True}, [("status_changed", first["id"]), ("assigned", second["id"])]),
            ({"unread": False}, [("assigned", first["id"])]),
            ({"kind": {"eq": "assigned"}}, [("assigned", second["id"]), ("assigned", first["id"])]),
            ({"not": {"kind": {"in": ["assigned", "mentioned"]}}}, [("status_changed", first["id"])]),
            ({"task": {"eq": ref}, "unread": True}, [("status_changed", first["id"])]),
        ):
            answer = await run(door, "query_notifications", bob, condition)
            assert answer.code is None, answer.message
            assert [(item["kind"], item["task_id"]) for item in answer.body] == expected, condition

    async def test_members_relations_total_and_what_has_not_changed(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        task = await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await settle(database)
        path = "/notifications?fields=kind,task_id&expand=task&expand=actor&total=true&unread=true"
        answer = await bob.get(path)
        [only] = answer.json()
        assert (only["kind"], only["task"]["title"], only["actor"]["id"]) == ("assigned", task["title"], ada.id)
        assert only.keys() == {"kind", "task_id", "task", "actor"}
        assert answer.headers["x-total-count"] == "1"

        headers = {"If-None-Match": answer.headers["etag"]}
        assert (await bob.get(path, headers=headers)).status_code == 304
        await bob.patch("/notifications", {"read": True})
        assert (await bob.get(path, headers=headers)).json() == []


class TestLive:
    @on_both_doors
    async def test_they_come_as_they_are_made_and_what_has_come_since_first(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        before = (await bob.get("/notifications?limit=1")).json()
        reached = before[0]["id"] if before else 1
        waiting = asyncio.create_task(notified(door, bob, reached))
        others = asyncio.create_task(notified(door, ada, reached))
        task = await ada.task(project_id=project["id"], assignee_ids=[bob.id], title="Now")
        await settle(database)
        told_now = await waiting
        told_later = await notified(door, bob, reached)

        for result in (told_now, told_later):
            if door == "rest":
                assert (result.body["kind"], result.body["task_id"]) == ("assigned", task["id"])
            else:
                assert result.body["result"] == {"kind": "ASSIGNED", "task": {"title": "Now"}}
        assert not others.done()
        others.cancel()
        await asyncio.wait([others])

    @on_both_doors
    async def test_a_notification_that_never_was_is_refused_and_one_that_is_no_more_is_not(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database, door: Door
    ) -> None:
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await settle(database)
        mine = (await bob.get("/notifications?limit=1")).json()[0]["id"]
        result = await notified(door, bob, mine + 1_000_000)
        assert result.code == "RESYNC_REQUIRED"

        async with database.writing() as session:
            await session.execute(delete(Notification).where(Notification.id == mine))
        waiting = asyncio.create_task(notified(door, bob, mine))
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])
        await settle(database)
        assert (await waiting).code is None

    @on_both_doors
    async def test_what_is_no_notification_is_refused(self, ada: Person, door: Door) -> None:
        result = await notified(door, ada, "x")
        assert result.code == "BAD_USER_INPUT"


NOON = datetime(2035, 6, 1, 12, tzinfo=UTC)


class TestDueDates:
    """In years to come, when nothing else in the database is due."""

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moment = NOON
        monkeypatch.setattr(due_dates, "now", lambda: self.moment)

    async def look(self, database: Database, person: Person, after: timedelta = timedelta()) -> list[str]:
        """The kinds of what somebody has been told, oldest first, a while later."""
        self.moment += after
        for _ in range(2):  # each once, however often it is looked
            await DueDates(database, 1).tell()
        await settle(database)
        return [kind for kind, _ in await told(person)]

    async def test_each_date_is_told_of_once_and_another_one_anew(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        due = {"due_at": wire_format(NOON + timedelta(days=2))}
        task = await ada.task(project_id=project["id"], assignee_ids=[bob.id], **due)
        path = f"/tasks/{task['id']}"
        assert await self.look(database, bob) == ["assigned"]
        assert await self.look(database, bob, timedelta(days=1)) == ["assigned", "due_soon"]
        assert await self.look(database, bob, timedelta(days=1)) == ["assigned", "due_soon", "overdue"]
        await ada.patch(path, {"due_at": wire_format(NOON + timedelta(days=3))})
        assert (await self.look(database, bob))[3:] == ["due_soon"]
        await ada.patch(path, {"status": "completed"})
        assert (await self.look(database, bob, timedelta(days=2)))[4:] == ["status_changed"]

        assert await told(ada) == []  # it is somebody else's to do
        kinds = [event["kind"] for event in (await ada.get(f"{path}/history")).json()]
        assert kinds.count("task.due_soon") == 2
        assert kinds.count("task.overdue") == 1

    async def test_soon_begins_with_a_day_of_whoever_is_to_do_it_or_created_it(
        self, ada: Person, bob: Person, project: dict[str, Any], database: Database
    ) -> None:
        await bob.patch("/users/me", {"timezone": "Pacific/Auckland"})  # 12 hours ahead
        due = {"project_id": project["id"], "due_at": wire_format(datetime(2035, 6, 3, 5, tzinfo=UTC))}
        await ada.task(**due, assignee_ids=[bob.id])
        await ada.task(**due)
        self.moment = datetime(2035, 6, 1, 11, 59, tzinfo=UTC)
        assert await self.look(database, bob) == ["assigned"]
        assert await self.look(database, bob, timedelta(minutes=1)) == ["assigned", "due_soon"]
        assert await told(ada) == []
        assert await self.look(database, ada, timedelta(hours=12)) == ["due_soon"]

    async def test_long_past_dates_archived_projects_and_the_trash_tell_nothing(
        self, ada: Person, project: dict[str, Any], database: Database
    ) -> None:
        archived = await ada.project()
        await ada.task(due_at=wire_format(NOON - due_dates.LOOK_BACK))
        await ada.task(project_id=archived["id"], due_at=wire_format(NOON))
        gone = await ada.task(due_at=wire_format(NOON))
        await ada.delete(f"/tasks/{gone['id']}")
        await ada.patch(f"/projects/{archived['id']}", {"archived": True})
        assert await self.look(database, ada) == []

    @pytest.mark.parametrize(
        ("zone", "days", "since"),
        [
            ("UTC", 1, "2035-03-09T00:00:00Z"),
            ("UTC", 0, "2035-03-10T00:00:00Z"),
            ("Pacific/Auckland", 1, "2035-03-09T11:00:00Z"),
            ("America/New_York", 1, "2035-03-09T05:00:00Z"),
            ("Nowhere/Else", 1, "2035-03-09T00:00:00Z"),
        ],
    )
    def test_days_are_those_of_the_calendar(self, zone: str, days: int, since: str) -> None:
        due = datetime(2035, 3, 10, 12, tzinfo=UTC)
        assert soon_since(due, zone, days) == datetime.fromisoformat(since)
