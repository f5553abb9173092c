"""Reminders: a person's own, told once at their instant, on both doors; and what is snoozed, told again."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from api.main import create_app
from core.clock import now, wire_format
from db.driver.database import Database
from db.models import Job, Notification, Reminder
from services.events import notifier, reminding
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from services.events.reminding import Reminding
from services.events.waking import JOB, SHARES
from services.jobs.worker import Worker
from tests.actors import PASSWORD, Person
from tests.conftest import People, settings_for
from tests.databases import empty_database
from tests.doors import Door, on_both_doors
from tests.examples import notification
from tests.operations import ok, run
from tests.streaming import notified
from tests.test_jobs import running

SOON = timedelta(hours=1)


class Clock:
    """What reminders take for the present."""

    def __init__(self) -> None:
        self.moment = now()

    def ahead(self, **by: float) -> None:
        self.moment += timedelta(**by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(reminding, "now", lambda: made.moment)
    return made


async def settle(database: Database) -> None:
    await number_all(database)
    await catch_up(database, CONSUMER)


async def tell(database: Database) -> None:
    """Everything of the feed has come to the reminders, and those are told whose instant has come: by several workers,
    and more than once."""
    await settle(database)
    for _ in range(2):
        await asyncio.gather(*(Reminding(database).tell_all() for _ in range(3)))


async def told(person: Person) -> list[tuple[str, int | None]]:
    """The kinds of a person's notifications with their tasks, oldest first."""
    return [(item["kind"], item["task_id"]) for item in reversed((await person.get("/notifications")).json())]


async def remind(person: Person, task: dict[str, Any], door: Door = "rest", **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = await ok(door, "create_reminder", person, body, task_id=task["id"])
    return made


def at(after: timedelta) -> str:
    return wire_format(now() + after)


class TestDays:
    async def test_a_day_is_due_at_nine_by_the_clock_of_whoever_is_reminded(
        self, ada: Person, bob: Person, database: Database
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "member")
        await bob.patch("/users/me", {"timezone": "Pacific/Auckland"})
        task = await ada.task(project_id=project["id"], due_on="2035-06-01")
        hers, his = await remind(ada, task, before_due=60), await remind(bob, task, before_due=60)
        assert (hers["next_at"], his["next_at"]) == ("2035-06-01T08:00:00Z", "2035-05-31T20:00:00Z")

        async def both() -> list[str]:
            await settle(database)
            return [
                (await each.get(f"/reminders/{of['id']}")).json()["next_at"] for each, of in ((ada, hers), (bob, his))
            ]

        await ada.patch(f"/tasks/{task['id']}", {"due_on": "2035-12-01"})
        assert await both() == ["2035-12-01T08:00:00Z", "2035-11-30T19:00:00Z"]
        await bob.patch("/users/me", {"timezone": "UTC"})
        assert await both() == ["2035-12-01T08:00:00Z"] * 2
        await ada.patch(f"/tasks/{task['id']}", {"due_at": "2035-12-01T12:00:00Z"})
        assert await both() == ["2035-12-01T11:00:00Z"] * 2

    async def test_a_new_task_of_a_day_has_reminders_of_its_creator_s_day(self, bob: Person) -> None:
        await bob.patch("/users/me", {"timezone": "Pacific/Auckland"})
        task = await bob.task(due_on="2035-06-01", reminders=[{"before_due": 60}])
        [reminder] = (await bob.get(f"/tasks/{task['id']}/reminders")).json()
        assert reminder["next_at"] == "2035-05-31T20:00:00Z"


@on_both_doors
class TestBothDoors:
    async def test_it_is_set_read_changed_and_deleted_by_its_version(self, ada: Person, door: Door) -> None:
        task = await ada.task(due_at="2035-06-01T12:00:00Z")
        made = await remind(ada, task, door, before_due=90)
        assert (made["next_at"], made["before_due"], made["version"]) == ("2035-06-01T10:30:00Z", 90, 1)
        ids = {"reminder_id": made["id"]}

        body = {"remind_at": "2035-05-01T08:00:00Z"}
        assert (await run(door, "update_reminder", ada, body, expected=7, **ids)).code == "VERSION_CONFLICT"
        changed = await ok(door, "update_reminder", ada, body, expected=1, **ids)
        assert (changed["next_at"], changed["before_due"], changed["version"]) == (body["remind_at"], None, 2)
        assert (await ok(door, "update_reminder", ada, {}, **ids))["version"] == 2
        assert await ok(door, "get_reminder", ada, **ids) == changed
        assert await ok(door, "list_reminders", ada) == [changed]
        assert await ok(door, "list_task_reminders", ada, task_id=task["id"]) == [changed]
        assert await ok(door, "query_reminders", ada, {"waiting": False}) == []

        assert (await run(door, "delete_reminder", ada, **ids)).code is None
        assert (await run(door, "get_reminder", ada, **ids)).code == "NOT_FOUND"

    async def test_it_is_a_persons_own_and_of_a_task_that_may_be_read(
        self, ada: Person, bob: Person, door: Door
    ) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"])
        later = {"remind_at": at(SOON)}
        refused = await run(door, "create_reminder", bob, later, task_id=task["id"])
        assert refused.code == "NOT_FOUND"
        await ada.invite(project, bob, "viewer")
        his = await remind(bob, task, door, **later)
        for name, body in (
            ("get_reminder", None),
            ("update_reminder", {"before_due": 0}),
            ("snooze_reminder", {"minutes": 1}),
            ("delete_reminder", None),
        ):
            assert (await run(door, name, ada, body, reminder_id=his["id"])).code == "NOT_FOUND", name
        assert await ok(door, "list_task_reminders", ada, task_id=task["id"]) == []
        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
        assert await ok(door, "list_reminders", bob) == []

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"remind_at": "2035-06-01T12:00:00Z", "before_due": 5},
            {"remind_at": "2020-06-01T12:00:00Z"},
            {"remind_at": "2035-06-01T12:00:00"},
            {"before_due": -1},
            {"before_due": 366 * 24 * 60 + 1},
            {"before_due": None},
        ],
    )
    async def test_what_does_not_hold_is_refused(self, ada: Person, door: Door, body: dict[str, Any]) -> None:
        task = await ada.task()
        assert (await run(door, "create_reminder", ada, body, task_id=task["id"])).code == "BAD_USER_INPUT"

    async def test_there_are_ten_of_a_person_on_a_task(self, ada: Person, door: Door) -> None:
        task = await ada.task()
        for _ in range(10):
            await remind(ada, task, before_due=5)
        refused = await run(door, "create_reminder", ada, {"before_due": 5}, task_id=task["id"])
        assert refused.code == "CONFLICT"
        assert "10 reminders" in refused.message

    async def test_it_is_snoozed_before_and_after_it_was_told(
        self, ada: Person, database: Database, clock: Clock, door: Door
    ) -> None:
        task = await ada.task()
        made = await remind(ada, task, remind_at=at(SOON))
        ids = {"reminder_id": made["id"]}
        until = at(2 * SOON)
        snoozed = await ok(door, "snooze_reminder", ada, {"until": until}, **ids)
        assert (snoozed["next_at"], snoozed["snoozed_until"]) == (until, until)
        clock.ahead(minutes=90)
        await tell(database)
        assert await told(ada) == []
        clock.ahead(minutes=31)
        await tell(database)
        assert await told(ada) == [("reminder", task["id"])]

        again = await ok(door, "snooze_reminder", ada, {"minutes": 180}, **ids)
        assert (again["told_at"], again["version"]) == (None, 4)
        clock.ahead(minutes=60)
        await tell(database)
        assert await told(ada) == [("reminder", task["id"])] * 2
        for body in ({}, {"minutes": 1, "until": until}, {"minutes": 0}, {"until": at(timedelta(days=31))}):
            assert (await run(door, "snooze_reminder", ada, body, **ids)).code == "BAD_USER_INPUT", body


class TestTelling:
    async def test_each_is_told_once_by_however_many(self, ada: Person, database: Database, clock: Clock) -> None:
        task = await ada.task(due_at=at(2 * SOON))
        for body in ({"remind_at": at(SOON)}, {"before_due": 60}, {"before_due": 0}):
            await remind(ada, task, **body)
        await tell(database)
        assert await told(ada) == []
        clock.ahead(minutes=61)
        await tell(database)
        assert await told(ada) == [("reminder", task["id"])] * 2
        clock.ahead(minutes=60)
        await tell(database)
        assert await told(ada) == [("reminder", task["id"])] * 3
        waiting = (await ada.get('/reminders?filter={"waiting":true}')).json()
        assert waiting == []

    async def test_whoever_ends_while_telling_leaves_it_to_another_one(
        self, ada: Person, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = await ada.task()
        await remind(ada, task, remind_at=at(SOON))
        clock.ahead(hours=2)
        write = notifier.write

        async def ends(*given: Any) -> None:
            await write(*given)
            raise RuntimeError("killed before its transaction was committed")

        with monkeypatch.context() as patch:
            patch.setattr(notifier, "write", ends)
            with pytest.raises(RuntimeError):
                await Reminding(database).tell_all()
        assert await told(ada) == []
        await tell(database)
        assert await told(ada) == [("reminder", task["id"])]

    async def test_it_moves_with_the_date_and_is_told_anew_for_another_one(
        self, ada: Person, database: Database, clock: Clock
    ) -> None:
        task = await ada.task()
        made = await remind(ada, task, before_due=30)
        assert made["next_at"] is None
        path = f"/tasks/{task['id']}"
        await ada.patch(path, {"due_at": at(2 * SOON)})
        await tell(database)
        assert (await ada.get(f"/reminders/{made['id']}")).json()["next_at"] is not None
        await ada.patch(path, {"due_at": at(3 * SOON)})
        # the job may come before the feed has told of the other date
        clock.ahead(minutes=91)
        await Reminding(database).tell_all()
        await tell(database)
        assert await told(ada) == []
        clock.ahead(minutes=60)
        await tell(database)
        assert await told(ada) == [("reminder", task["id"])]

        for due in (timedelta(minutes=10), 5 * SOON):  # of which one is over before it was said
            await ada.patch(path, {"due_at": at(due)})
            await tell(database)
        assert await told(ada) == [("reminder", task["id"])]
        clock.ahead(hours=3)
        await tell(database)
        assert await told(ada) == [("reminder", task["id"])] * 2
        await ada.patch(path, {"due_at": None})
        await tell(database)
        assert (await ada.get(f"/reminders/{made['id']}")).json()["next_at"] is None

    @pytest.mark.parametrize("how", ["completed", "cancelled", "trashed", "archived", "left", "muted", "late"])
    async def test_what_nobody_has_to_be_reminded_of_is_not_told(
        self, ada: Person, bob: Person, database: Database, clock: Clock, how: str
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "member")
        task = await ada.task(project_id=project["id"])
        made = await remind(bob, task, remind_at=at(SOON))
        if how in ("completed", "cancelled"):
            await bob.patch(f"/tasks/{task['id']}", {"status": how})
        elif how == "trashed":
            await bob.delete(f"/tasks/{task['id']}")
        elif how == "archived":
            await ada.patch(f"/projects/{project['id']}", {"archived": True})
        elif how == "left":
            await bob.delete(f"/projects/{project['id']}/members/{bob.id}")
        elif how == "muted":
            await bob.patch("/notifications/preferences", {"muted_kinds": ["reminder"]})
        clock.ahead(days=8 if how == "late" else 1)
        await tell(database)
        kinds = [kind for kind, _ in await told(bob)]
        assert "reminder" not in kinds
        async with database.reading() as session:
            assert await session.scalar(select(Reminder.next_at).where(Reminder.id == made["id"])) is None

    async def test_what_was_missed_for_some_days_is_told_late_and_a_muted_project_holds_it_not_back(
        self, ada: Person, database: Database, clock: Clock
    ) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"])
        await ada.patch("/notifications/preferences", {"muted_project_ids": [project["id"]]})
        await remind(ada, task, remind_at=at(SOON))
        clock.ahead(days=6)
        await tell(database)
        assert await told(ada) == [("reminder", task["id"])]

    async def test_the_worker_is_woken_for_the_first_of_a_share(self, ada: Person, database: Database) -> None:
        task, soon = await ada.task(), now() + timedelta(minutes=7)
        await remind(ada, task, remind_at=wire_format(soon))
        await remind(ada, task, remind_at=wire_format(soon + SOON))
        async with database.reading() as session:
            due = select(func.min(Job.due_at)).where(Job.kind == JOB, Job.subject_id == ada.id % SHARES)
            first = await session.scalar(due)
        assert first is not None
        assert first <= soon

    async def test_a_share_is_looked_for_among_the_next_ones_alone(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = await ada.task()
        late = now() + timedelta(days=300)
        [first, last] = [await remind(ada, task, remind_at=wire_format(late + SOON * n)) for n in range(2)]
        async with database.reading() as session:
            before = await session.count(select(Reminder.id).where(Reminder.next_at <= late))  # hers among them
        job = Reminding(database).handlers[JOB]
        monkeypatch.setattr(reminding, "SHARES", 10**9)  # of which nobody is in the first one
        for looked, expected in ((before, first["next_at"]), (before + 1, last["next_at"])):
            monkeypatch.setattr(reminding, "LOOKED", looked)
            again_at = (await job(0)).again_at
            assert again_at is not None
            assert wire_format(again_at) == expected

    async def test_it_goes_with_its_task_and_with_its_person(self, ada: Person, database: Database) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"])
        await remind(ada, task, remind_at=at(SOON))
        await remind(ada, await ada.task(), remind_at=at(SOON))
        await ada.delete(f"/projects/{project['id']}")
        mine = select(func.count()).select_from(Reminder).where(Reminder.user_id == ada.id)
        async with database.reading() as session:
            assert await session.scalar(mine) == 1
        gone = await ada.rest("POST", "/users/me/delete", json={"password": PASSWORD})
        assert gone.status_code == 204, gone.text
        async with database.reading() as session:
            assert await session.scalar(mine) == 0


@on_both_doors
class TestSnooze:
    async def test_what_is_put_off_is_not_listed_or_counted_and_told_again_once(
        self, ada: Person, database: Database, clock: Clock, door: Door
    ) -> None:
        first, second = [await notification(ada.client, ada.id) for _ in range(2)]
        ids = {"notification_id": first["id"]}
        until = at(SOON)
        put_off = await ok(door, "update_notification", ada, {"snoozed_until": until}, **ids)
        assert put_off["snoozed_until"] == until
        assert [item["id"] for item in await ok(door, "list_notifications", ada)] == [second["id"]]
        unread = await ada.get("/notifications?unread=true&total=true")
        assert unread.headers["x-total-count"] == "1"
        for condition in ({"snoozed": True}, {"or": [{"snoozed": True}, {"snoozed": True}]}):
            found = await ok(door, "query_notifications", ada, condition)
            assert [item["id"] for item in found] == [first["id"]]
        assert (await ok(door, "get_notification", ada, **ids))["id"] == first["id"]

        live = asyncio.create_task(notified(door, ada, second["id"]))
        clock.ahead(hours=2)
        await tell(database)
        assert (await live).code is None
        newest, other = await ok(door, "list_notifications", ada)
        assert (newest["event_id"], newest["read_at"], newest["snoozed_until"]) == (put_off["event_id"], None, None)
        assert newest["id"] > other["id"] == second["id"]
        assert (await run(door, "get_notification", ada, **ids)).code == "NOT_FOUND"

    async def test_many_are_put_off_and_brought_back(self, ada: Person, door: Door) -> None:
        made = [await notification(ada.client, ada.id) for _ in range(3)]
        until = at(SOON)

        async def change(**body: Any) -> int:
            if door == "graphql":
                body |= {name: [each["node_id"] for each in made[:2]] for name in body.keys() & {"ids"}}
            return int((await ok(door, "update_notifications", ada, body))["changed"])

        two = [each["id"] for each in made[:2]]
        assert await change(ids=two, snoozed_until=until) == 2
        assert await change(ids=two, snoozed_until=until) == 0
        assert await change(read=True) == 1  # what is put off is not meant
        assert await change(snoozed_until=None) == 2
        assert len(await ok(door, "list_notifications", ada)) == 3
        assert await change(snoozed_until=until) == 3
        assert await ok(door, "list_notifications", ada) == []

    async def test_what_does_not_hold_is_refused(self, ada: Person, bob: Person, door: Door) -> None:
        mine, his = [await notification(ada.client, person.id) for person in (ada, bob)]
        over = {"snoozed_until": wire_format(datetime(2020, 1, 1, tzinfo=UTC))}
        for body in ({}, over, {"snoozed_until": at(timedelta(days=31))}, {"read": True, "snoozed_until": at(SOON)}):
            refused = await run(door, "update_notification", ada, body, notification_id=mine["id"])
            assert refused.code == "BAD_USER_INPUT", body
            assert (await run(door, "update_notifications", ada, body)).code == "BAD_USER_INPUT", body
        named = his["id"] if door == "rest" else his["node_id"]
        refused = await run(door, "update_notifications", ada, {"ids": [named], "read": True})
        assert refused.code == "NOT_FOUND"


async def test_what_is_put_off_of_a_project_that_was_left_is_back_and_not_told(
    ada: Person, bob: Person, database: Database, clock: Clock
) -> None:
    project = await ada.project()
    await ada.invite(project, bob, "member")
    await settle(database)
    [added] = (await bob.get("/notifications")).json()
    await bob.patch(f"/notifications/{added['id']}", {"snoozed_until": at(SOON)})
    await bob.delete(f"/projects/{project['id']}/members/{bob.id}")
    clock.ahead(hours=2)
    await tell(database)
    [back] = (await bob.get("/notifications")).json()
    assert (back["id"], back["snoozed_until"]) == (added["id"], None)
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).where(Notification.user_id == bob.id)) == 1


@on_both_doors
class TestNewTasks:
    async def test_they_are_created_with_reminders_one_by_one_and_many(self, ada: Person, door: Door) -> None:
        due = {"due_at": "2035-06-01T12:00:00Z", "title": "x"}
        wanted = {"reminders": [{"before_due": 60}, {"remind_at": "2035-05-01T08:00:00Z"}]}
        made = await ok(door, "create_task", ada, due | wanted)
        for task in (made, {"id": made["id"]}):
            found = await ok(door, "list_task_reminders", ada, task_id=task["id"])
            assert [each["next_at"] for each in found] == ["2035-06-01T11:00:00Z", "2035-05-01T08:00:00Z"]

        over = {"title": "x", "reminders": [{"before_due": 5}, {"remind_at": "2020-01-01T00:00:00Z"}]}
        called = {"external_source": "crm", "external_id": door}
        body = {"mode": "upsert_partial", "tasks": [due | wanted | called, over | called | {"external_id": "over"}]}
        for times in (1, 2):  # the second time there is such a task already
            answer = await ok(door, "create_tasks", ada, body)
            first, second = answer["results"]
            assert first["outcome"] == ("created" if times == 1 else "unchanged")
            [problem] = second["error"]["errors"]
            assert (problem["pointer"], problem["detail"]) == (
                "/reminders/1/remind_at" if door == "rest" else "/reminders/1/remindAt",
                "is over",
            )
            assert len(await ok(door, "list_task_reminders", ada, task_id=first["task"]["id"])) == 2

    async def test_what_does_not_hold_is_refused(self, ada: Person, door: Door) -> None:
        wrong: list[list[dict[str, Any]]] = [[{}], [{"before_due": 5}] * 11, [{"remind_at": "2020-01-01T00:00:00Z"}]]
        for reminders in wrong:
            refused = await run(door, "create_task", ada, {"title": "x", "reminders": reminders})
            assert refused.code == "BAD_USER_INPUT", reminders
        assert await ok(door, "list_tasks", ada) == []


async def test_the_worker_tells_it_at_its_instant(backend: str, tmp_path: Path) -> None:
    with empty_database(backend, tmp_path) as url:
        app = create_app(settings_for(url))
        state = app.state.tandem
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            ada = await People(client, state)()
            task = await ada.task()
            worker = Worker(state.database, Reminding(state.database).handlers)
            async with running(worker), state.notification_feed.joined(ada.id) as told_live:
                made = await remind(ada, task, remind_at=at(timedelta(seconds=0.5)))
                await asyncio.wait_for(told_live.wait(), 30)
            [item] = (await ada.get("/notifications")).json()
        assert item["task_id"] == task["id"]
        late = datetime.fromisoformat(item["created_at"]) - datetime.fromisoformat(made["next_at"])
        assert timedelta() <= late < timedelta(seconds=2)  # some milliseconds, but for a machine that is busy
        await state.notification_feed.stop()
        await state.database.dispose()


async def test_what_is_due_on_a_day_goes_by_its_morning_where_the_person_is(ada: Person, database: Database) -> None:
    await ada.patch("/users/me", {"timezone": "Pacific/Auckland"})  # 12 hours ahead
    new = {"title": "x", "due_on": "2035-06-01", "reminders": [{"before_due": 0}]}
    task = (await ada.post("/tasks", new)).json()
    await remind(ada, task, before_due=60)

    async def instants() -> list[str]:
        await settle(database)
        return [each["next_at"] for each in (await ada.get(f"/tasks/{task['id']}/reminders")).json()]

    assert await instants() == ["2035-05-31T21:00:00Z", "2035-05-31T20:00:00Z"]
    await ada.patch(f"/tasks/{task['id']}", {"due_on": "2035-06-02"})
    assert await instants() == ["2035-06-01T21:00:00Z", "2035-06-01T20:00:00Z"]
    await ada.patch("/users/me", {"timezone": "UTC"})
    assert await instants() == ["2035-06-02T09:00:00Z", "2035-06-02T08:00:00Z"]
