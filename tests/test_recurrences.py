"""Tasks that come again: on completion or on schedule, once, over changes of the clocks."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Project, Recurrence, Task
from services.events import notices
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from services.recurrences import changes, schedule, succession
from services.recurrences import rows as series_rows
from services.recurrences.schedule import Schedule
from services.shared.errors import Conflict
from services.shared.node_ids import MAX_DATABASE_ID
from services.tasks.filters import TaskFilter
from services.tasks.listing import few
from services.tasks.listing.conditions import TaskPredicate, condition
from tests.actors import Person
from tests.doors import Door, Result, on_both_doors
from tests.operations import WITH_RECURRENCE, call, ok, run
from tests.statements import StatementCounter
from tests.stored import kinds, new_events, unchanged

WEEKLY = {"rule": "FREQ=WEEKLY", "timezone": "Europe/Berlin"}
DUE = "2027-03-22T08:00:00Z"
"""Monday, 09:00 in Berlin; the clocks are put forward on the 28th."""
AFTER = "2027-03-29T07:00:00Z"
Clock = Callable[[str], None]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Lets it be another time, for series."""

    def set_to(moment: str) -> None:
        for module in (changes, schedule):
            monkeypatch.setattr(module, "now", lambda: datetime.fromisoformat(moment))

    set_to("2027-03-20T12:00:00Z")
    return set_to


async def chore(person: Person, recurrence: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return await person.task(**{"title": "Water", "due_at": DUE, "recurrence": WEEKLY | (recurrence or {})} | fields)


async def finish(door: Door, person: Person, task: dict[str, Any], **fields: Any) -> Result:
    return await run(door, "update_task", person, {"status": "completed"} | fields, task_id=task["id"])


async def recurrence_of(door: Door, person: Person, task: dict[str, Any]) -> Any:
    found = await call(WITH_RECURRENCE, door, "get_task", person, task_id=task["id"])
    assert found.code is None, found
    return found.body["recurrence"]


async def after(person: Person, task: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks of the project that are newer, oldest first."""
    parameters = {"project_id": task["project_id"], "sort_by": "number", "order": "asc", "limit": 100}
    listed = (await person.get("/tasks", params=parameters)).json()
    return [each for each in listed if each["number"] > task["number"]]


async def rows(database: Database) -> int:
    async with database.reading() as session:
        return await session.count(select(Recurrence.id))


@on_both_doors
class TestRecurrence:
    async def test_is_kept_in_its_canonical_form(self, ada: Person, door: Door) -> None:
        rule = "rrule:byday=we,MO,mo;interval=1;freq=weekly;wkst=MO"
        sent = {"rule": rule, "timezone": "Asia/Tokyo", "create_next": "on_schedule"}
        task = await ok(door, "create_task", ada, {"title": "Sweep", "due_at": DUE, "recurrence": sent})
        found = await recurrence_of(door, ada, task)
        assert found.pop("series_id") > 0
        assert found == {
            "rule": "FREQ=WEEKLY;BYDAY=MO,WE",
            "timezone": "Asia/Tokyo",
            "repeat_from": "due_date",
            "create_next": "on_schedule",
            "number": 1,
            "occurrence": "2027-03-22T17:00:00",
        }

    async def test_zone_is_the_callers_own_unless_given(self, ada: Person, door: Door) -> None:
        await ada.patch("/users/me", {"timezone": "America/New_York"})
        task = await ok(door, "create_task", ada, {"title": "Run", "due_at": DUE, "recurrence": {"rule": "FREQ=DAILY"}})
        found = await recurrence_of(door, ada, task)
        assert (found["timezone"], found["occurrence"]) == ("America/New_York", "2027-03-22T04:00:00")

    async def test_task_that_does_not_recur_says_so(self, ada: Person, door: Door) -> None:
        task = await ada.task()
        assert await recurrence_of(door, ada, task) is None
        assert await ok(door, "list_task_occurrences", ada, task_id=task["id"]) == []

    @pytest.mark.parametrize(
        ("recurrence", "pointer", "words"),
        [
            ({"rule": "FREQ=HOURLY"}, "/recurrence/rule", "must have FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"),
            ({"rule": "FREQ=DAILY;BYHOUR=9"}, "/recurrence/rule", "must do without BYHOUR"),
            ({"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "/recurrence/rule", "does not occur again after"),
            ({"rule": "FREQ=DAILY;COUNT=1"}, "/recurrence/rule", "does not occur again after"),
            ({"rule": "FREQ=DAILY", "timezone": "Mars/Base"}, "/recurrence/timezone", "is not a time zone"),
            (
                {"rule": "FREQ=DAILY", "repeat_from": "completion_date", "create_next": "on_schedule"},
                "/recurrence",
                "there is no other schedule",
            ),
        ],
    )
    async def test_what_cannot_recur_so_is_refused_by_a_sentence(
        self, ada: Person, door: Door, database: Database, recurrence: dict[str, Any], pointer: str, words: str
    ) -> None:
        body = {"title": "Never", "due_at": DUE, "recurrence": {"timezone": "UTC"} | recurrence}
        async with unchanged(database):
            refused = await run(door, "create_task", ada, body)
        assert refused.refusal == ("BAD_USER_INPUT", [pointer])
        assert words in refused.message

    async def test_needs_a_due_date(self, ada: Person, door: Door) -> None:
        refused = await run(door, "create_task", ada, {"title": "When", "recurrence": WEEKLY})
        assert refused.refusal == ("BAD_USER_INPUT", ["/recurrence"])
        task = await chore(ada)
        refused = await run(door, "update_task", ada, {"due_at": None}, task_id=task["id"])
        assert refused.refusal == ("BAD_USER_INPUT", ["/due_at"])
        await ok(door, "update_task", ada, {"due_at": None, "recurrence": None}, task_id=task["id"])
        assert await recurrence_of(door, ada, task) is None

    async def test_viewer_may_read_it_and_not_change_it(self, ada: Person, bob: Person, door: Door) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "viewer")
        task = await chore(ada, project_id=project["id"])
        assert (await recurrence_of(door, bob, task))["rule"] == "FREQ=WEEKLY"
        refused = await run(door, "update_task", bob, {"recurrence": None}, task_id=task["id"])
        assert refused.code == "FORBIDDEN"
        assert len(await ok(door, "list_task_occurrences", bob, task_id=task["id"])) == 10

    async def test_changes_are_told_legibly_and_repeats_change_nothing(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        task = await chore(ada)
        there = await recurrence_of(door, ada, task)
        async with unchanged(database):
            same = await ok(door, "update_task", ada, {"recurrence": WEEKLY}, task_id=task["id"])
        assert same["version"] == 1
        async with new_events(database) as events:
            body = {"recurrence": WEEKLY | {"rule": "FREQ=DAILY"}}
            changed = await ok(door, "update_task", ada, body, task_id=task["id"])
            await ok(door, "update_task", ada, {"recurrence": None}, task_id=task["id"])
        assert changed["version"] == 2
        daily = there | {"rule": "FREQ=DAILY"}
        assert [event.changes for event in events] == [{"recurrence": [there, daily]}, {"recurrence": [daily, None]}]
        assert await recurrence_of(door, ada, task) is None

    async def test_due_date_that_moves_alone_moves_this_task_only(self, ada: Person, door: Door, at: Clock) -> None:
        task = await chore(ada)
        await ok(door, "update_task", ada, {"due_at": "2027-03-25T10:00:00Z"}, task_id=task["id"])
        assert (await recurrence_of(door, ada, task))["occurrence"] == "2027-03-22T09:00:00"
        assert (await finish(door, ada, task)).code is None
        [following] = await after(ada, task)
        assert following["due_at"] == AFTER

    async def test_recurrence_that_is_sent_counts_from_the_due_date_of_then(
        self, ada: Person, door: Door, at: Clock
    ) -> None:
        task = await chore(ada)
        body = {"due_at": "2027-03-25T10:00:00Z", "recurrence": WEEKLY}
        await ok(door, "update_task", ada, body, task_id=task["id"])
        await finish(door, ada, task)
        [following] = await after(ada, task)
        assert following["due_at"] == "2027-04-01T09:00:00Z"


@on_both_doors
class TestCompletion:
    async def test_next_task_has_what_is_to_be_done(
        self, ada: Person, bob: Person, door: Door, database: Database, at: Clock
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        made = await ada.post(f"/projects/{project['id']}/milestones", {"name": "Beta"})
        parent = await ada.task(project_id=project["id"])
        task = await chore(
            ada,
            project_id=project["id"],
            description="All of them",
            priority=4,
            start_at="2027-03-22T07:30:00Z",
            tags=["home", "green"],
            assignee_ids=[ada.id, bob.id],
            milestone_id=made.json()["id"],
            parent_id=parent["id"],
            external_source="crm",
            external_id="1",
        )
        await ada.comment(task["id"])
        child = await ada.task(title="Fill the can", parent_id=task["id"], project_id=project["id"], due_at=DUE)
        await ada.task(title="Find it", parent_id=child["id"], project_id=project["id"], status="completed")
        there = await recurrence_of(door, ada, task)
        async with new_events(database) as events:
            done = await finish(door, bob, task)
        assert (done.code, done.body["status"], done.body["version"]) == (None, "completed", 2)

        following, *below = [each for each in await after(ada, task) if each["created_at"] > child["created_at"]][1:]
        same = ("title", "description", "priority", "milestone_id", "parent_id", "project_id", "created_by_id")
        assert [following[name] for name in same] == [task[name] for name in same]
        assert (following["status"], following["version"], following["external_id"]) == ("pending", 1, None)
        assert (following["start_at"], following["due_at"]) == ("2027-03-29T06:30:00Z", AFTER)
        hung = await ok(door, "get_task_with_relations", ada, task_id=following["id"])
        assert (hung["assignees"], hung["tags"]) == (sorted([ada.id, bob.id]), ["green", "home"])
        assert await ok(door, "list_comments", ada, task_id=following["id"]) == []
        assert [(each["title"], each["status"], each["due_at"]) for each in below] == [
            ("Fill the can", "pending", AFTER),
            ("Find it", "pending", None),
        ]
        assert [each["parent_id"] for each in below] == [following["id"], below[0]["id"]]

        goes_on = there | {"number": 2, "occurrence": "2027-03-29T09:00:00"}
        assert await recurrence_of(door, ada, following) == goes_on
        assert await recurrence_of(door, ada, task) is None
        assert kinds(events) == ["task.updated", *["task.created"] * 3]
        assert {event.actor_id for event in events} == {bob.id}
        assert len({event.request_id for event in events}) == 1
        assert events[0].changes["recurrence"] == [there, None]
        assert events[1].changes["recurrence"] == [None, goes_on]

    async def test_reminders_before_the_due_date_go_on_with_the_series(
        self, ada: Person, bob: Person, door: Door, database: Database, at: Clock
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        task = await chore(ada, project_id=project["id"])
        for person, body in (
            (ada, {"before_due": 30}),
            (ada, {"remind_at": "2099-01-01T00:00:00Z"}),
            (bob, {"before_due": 0}),
        ):
            await ok(door, "create_reminder", person, body, task_id=task["id"])
        assert (await finish(door, bob, task)).code is None
        [following] = await after(ada, task)
        theirs = [
            [
                (each["before_due"], each["next_at"])
                for each in await ok(door, "list_task_reminders", who, task_id=following["id"])
            ]
            for who in (ada, bob)
        ]
        assert theirs == [[(30, "2027-03-29T06:30:00Z")], [(0, AFTER)]]

    async def test_next_task_is_made_once(self, ada: Person, door: Door, at: Clock) -> None:
        task = await chore(ada)
        for status in ("completed", "completed", "in_progress", "completed"):
            await ok(door, "update_task", ada, {"status": status}, task_id=task["id"])
        assert len(await after(ada, task)) == 1

    async def test_two_who_complete_at_once_make_one(self, ada: Person, bob: Person, door: Door, at: Clock) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        for _ in range(5):
            task = await chore(ada, project_id=project["id"])
            done = await asyncio.gather(*(finish(door, each, task) for each in (ada, bob, ada, bob)))
            assert {each.code for each in done} == {None}
            [following] = await after(ada, task)
            assert following["due_at"] == AFTER

    async def test_cancelling_makes_none_and_reopening_goes_on(self, ada: Person, door: Door, at: Clock) -> None:
        task = await chore(ada)
        await ok(door, "update_task", ada, {"status": "cancelled"}, task_id=task["id"])
        assert await after(ada, task) == []
        await ok(door, "update_task", ada, {"status": "completed"}, task_id=task["id"])
        assert len(await after(ada, task)) == 1

    async def test_new_task_that_is_completed_makes_none(self, ada: Person, door: Door, at: Clock) -> None:
        body = {"title": "Done", "due_at": DUE, "recurrence": WEEKLY, "status": "completed"}
        task = await ok(door, "create_task", ada, body)
        assert await after(ada, task) == []

    async def test_what_was_missed_is_passed_over(self, ada: Person, door: Door, at: Clock) -> None:
        task = await chore(ada)
        at("2027-04-20T12:00:00Z")
        await finish(door, ada, task)
        [following] = await after(ada, task)
        assert following["due_at"] == "2027-04-26T07:00:00Z"
        assert (await recurrence_of(door, ada, following))["number"] == 6

    async def test_from_the_completion_date_it_is_counted_from_there(self, ada: Person, door: Door, at: Clock) -> None:
        task = await chore(ada, {"rule": "FREQ=DAILY;INTERVAL=3", "repeat_from": "completion_date"})
        # the 28th in Berlin already, when the clocks change
        at("2027-03-27T23:30:00Z")
        await finish(door, ada, task)
        [following] = await after(ada, task)
        assert following["due_at"] == "2027-03-31T07:00:00Z"
        assert (await recurrence_of(door, ada, following))["number"] == 2

    @pytest.mark.parametrize("end", ["COUNT=2", "UNTIL=20270329", "UNTIL=20270329T070000Z"])
    async def test_series_ends(self, ada: Person, door: Door, at: Clock, end: str) -> None:
        task = await chore(ada, {"rule": f"FREQ=WEEKLY;{end}"})
        await finish(door, ada, task)
        [last] = await after(ada, task)
        assert await ok(door, "list_task_occurrences", ada, task_id=last["id"]) == []
        assert (await finish(door, ada, last)).code is None
        assert await after(ada, last) == []
        assert await recurrence_of(door, ada, last) is None

    async def test_recurrence_that_ends_with_the_completion_makes_none(
        self, ada: Person, door: Door, at: Clock
    ) -> None:
        task = await chore(ada)
        await finish(door, ada, task, recurrence=None)
        assert await after(ada, task) == []
        plain = await ada.task(due_at=DUE)
        await finish(door, ada, plain, recurrence=WEEKLY)
        assert [each["due_at"] for each in await after(ada, plain)] == [AFTER]

    async def test_who_left_is_not_assigned_and_who_created_it_stays(
        self, ada: Person, bob: Person, door: Door, at: Clock
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        task = await chore(bob, project_id=project["id"], assignee_ids=[ada.id])
        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
        await finish(door, ada, task)
        [following] = await after(ada, task)
        assert following["created_by_id"] == bob.id

    async def test_assignees_are_told_unless_nobody_is_to_be(
        self, ada: Person, bob: Person, door: Door, database: Database, at: Clock
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        for notify in (True, False):
            task = await chore(ada, project_id=project["id"], assignee_ids=[bob.id])
            body = {"status": "completed"}
            await ok(door, "update_task", ada, body, task_id=task["id"], notify=notify)
            [following] = await after(ada, task)
            await number_all(database)
            await catch_up(database, CONSUMER)
            told = (await bob.get("/notifications", params={"limit": 100})).json()
            kinds_told = [each["kind"] for each in told if each["task_id"] == following["id"]]
            assert kinds_told == ([notices.NotificationKind.ASSIGNED] if notify else [])

    async def test_project_without_numbers_left_refuses_the_completion(
        self, ada: Person, door: Door, database: Database, at: Clock
    ) -> None:
        project = await ada.project()
        task = await chore(ada, project_id=project["id"])
        async with database.writing() as session:
            numbers = update(Project).where(Project.id == project["id"])
            await session.execute(numbers.values(last_number=MAX_DATABASE_ID))
        async with unchanged(database):
            refused = await finish(door, ada, task)
        assert refused.code == "CONFLICT"
        assert "has no number left for another task: end its recurrence" in refused.message
        assert (await finish(door, ada, task, recurrence=None)).code is None

    async def test_more_subtasks_than_are_made_again_refuse_the_completion(
        self, ada: Person, door: Door, database: Database, at: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(succession, "MAX_DRAFTS", 2)
        task = await chore(ada)
        for number in range(2):
            await ada.task(title=f"Part {number}", parent_id=task["id"])
        async with unchanged(database):
            refused = await finish(door, ada, task)
        assert refused.code == "CONFLICT"
        assert "more than 1 subtasks" in refused.message

    async def test_bulk_calls_do_as_single_ones(self, ada: Person, door: Door, database: Database, at: Clock) -> None:
        tasks = [await chore(ada, title=f"Water {number}") for number in range(3)]
        plain = await ada.task()
        items = [{"id": each["id"], "status": "completed"} for each in (*tasks, plain)]
        async with unchanged(database):
            await ok(door, "update_tasks", ada, {"tasks": items, "dry_run": True})
        done = await ok(door, "update_tasks", ada, {"tasks": items})
        assert done["succeeded"] == 4
        following = await after(ada, plain)
        assert [(each["title"], each["due_at"]) for each in following] == [(f"Water {n}", AFTER) for n in range(3)]
        matching = {"filter": {"recurring": True}, "changes": {"status": "completed"}}
        await ok(door, "update_matching_tasks", ada, matching)
        assert [each["due_at"] for each in await after(ada, following[-1])] == ["2027-04-05T07:00:00Z"] * 3

    async def test_bulk_calls_let_many_recur(self, ada: Person, door: Door, database: Database) -> None:
        drafts = [{"title": f"Sweep {n}", "due_at": DUE, "recurrence": WEEKLY} for n in range(3)]
        made = await ok(door, "create_tasks", ada, {"tasks": [*drafts, {"title": "Plain", "due_at": DUE}]})
        assert made["succeeded"] == 4
        listed = (await ada.get("/tasks", params={"sort_by": "number", "order": "asc"})).json()
        series = [await recurrence_of(door, ada, task) for task in listed]
        assert len({each["series_id"] for each in series[:3]}) == 3
        assert series[3] is None
        daily = {"recurrence": WEEKLY | {"rule": "FREQ=DAILY"}}
        await ok(door, "update_tasks", ada, {"tasks": [{"id": task["id"]} | daily for task in listed]})
        assert [(await recurrence_of(door, ada, task))["rule"] for task in listed] == ["FREQ=DAILY"] * 4
        never = {"rule": "FREQ=DAILY;COUNT=1", "timezone": "UTC"}
        body = {"mode": "partial", "tasks": [{"id": task["id"], "recurrence": never} for task in listed[:1]]}
        refused = await ok(door, "update_tasks", ada, body)
        assert refused["results"][0]["error"]["errors"][0]["pointer"] == "/recurrence/rule"

    async def test_upserts_create_change_and_repeat(self, ada: Person, door: Door, database: Database) -> None:
        body = {"title": "Mirror", "due_at": DUE, "recurrence": WEEKLY}
        called = {"external_source": "crm", "external_id": "chore"}
        task = await ok(door, "upsert_task", ada, body, **called)
        async with unchanged(database):
            await ok(door, "upsert_task", ada, body, **called)
        await ok(door, "upsert_task", ada, {"title": "Mirror", "recurrence": None}, **called)
        assert await recurrence_of(door, ada, task) is None


@on_both_doors
class TestDays:
    async def test_task_that_is_due_on_a_day_comes_again_on_a_day(
        self, ada: Person, door: Door, database: Database, at: Clock
    ) -> None:
        task = await chore(ada, due_at=None, start_on="2027-03-20", due_on="2027-03-22")
        await ada.task(title="Fill the can", parent_id=task["id"], due_on="2027-03-21")
        assert (await recurrence_of(door, ada, task))["occurrence"] == "2027-03-22"
        [told] = (await ok(door, "list_task_occurrences", ada, task_id=task["id"]))[:1]
        assert told == {"number": 2, "start_at": None, "start_on": "2027-03-27", "due_at": None, "due_on": "2027-03-29"}
        previewed = await ok(
            door, "preview_occurrences", ada, WEEKLY | {"start_on": "2027-03-20", "due_on": "2027-03-22"}
        )
        assert previewed[0] == told
        # the 29th is over in Berlin
        at("2027-03-29T22:00:00Z")
        assert (await finish(door, ada, task)).code is None
        _, following, below = await after(ada, task)
        shown = {name: following[name] for name in ("start_at", "start_on", "due_at", "due_on")}
        assert shown == {"start_at": None, "start_on": "2027-04-03", "due_at": None, "due_on": "2027-04-05"}
        assert (below["due_at"], below["due_on"]) == (None, "2027-04-04")

    async def test_day_of_a_schedule_comes_with_its_beginning(
        self, ada: Person, door: Door, database: Database, at: Clock
    ) -> None:
        task = await chore(ada, {"create_next": "on_schedule"}, due_at=None, due_on="2027-03-22")
        at("2027-03-28T21:59:59Z")
        await Schedule(database).make_due()
        assert await after(ada, task) == []
        at("2027-03-28T22:00:00Z")
        await Schedule(database).make_due()
        assert [each["due_on"] for each in await after(ada, task)] == ["2027-03-29"]
        refused = await run(door, "update_task", ada, {"due_on": None, "recurrence": WEEKLY}, task_id=task["id"])
        assert refused.refusal == ("BAD_USER_INPUT", ["/recurrence"])

    async def test_date_of_the_other_kind_moves_this_task_only(self, ada: Person, door: Door, at: Clock) -> None:
        task = await chore(ada)
        await ok(door, "update_task", ada, {"due_on": "2027-03-24"}, task_id=task["id"])
        await finish(door, ada, task)
        assert [(each["due_at"], each["due_on"]) for each in await after(ada, task)] == [(AFTER, None)]


class TestIndex:
    async def test_index_knows_what_recurs(self, ada: Person, database: Database) -> None:
        await chore(ada)
        await ada.task()
        predicate = TaskPredicate(condition(TaskFilter(recurring=True)), trashed=False)
        async with database.reading() as session:
            found = await few.in_question(session, ada.actor, predicate)
        assert (found.number, [source.name for source in found.sources]) == (1, ["recurring"])


@on_both_doors
class TestSurroundings:
    async def test_list_finds_what_recurs(self, ada: Person, door: Door) -> None:
        task, plain = await chore(ada), await ada.task()
        for recurring, ids in ((True, [task["id"]]), (False, [plain["id"]])):
            listed = await ok(door, "list_tasks", ada, filter={"recurring": recurring})
            assert [each["id"] for each in listed] == ids
        listed = (await ada.get("/tasks", params={"recurring": "true"})).json()
        assert [each["id"] for each in listed] == [task["id"]]

    async def test_copy_goes_on_as_a_series_of_its_own(self, ada: Person, door: Door, at: Clock) -> None:
        task = await chore(ada)
        copy = await ok(door, "duplicate_task", ada, {}, task_id=task["id"])
        series = [await recurrence_of(door, ada, each) for each in (task, copy)]
        assert series[0].pop("series_id") != series[1].pop("series_id")
        assert series[0] == series[1]

    async def test_copied_project_has_its_series(self, ada: Person, door: Door, at: Clock) -> None:
        project = await ada.project()
        await chore(ada, project_id=project["id"])
        made = await ok(door, "duplicate_project", ada, {}, project_id=project["id"])
        [copy] = (await ada.get("/tasks", params={"project_id": made["id"]})).json()
        assert (await recurrence_of(door, ada, copy))["rule"] == "FREQ=WEEKLY"

    async def test_series_goes_along_to_another_project(self, ada: Person, door: Door, at: Clock) -> None:
        project = await ada.project()
        task = await chore(ada)
        moved = (await ok(door, "move_task", ada, {"project_id": project["id"]}, task_id=task["id"]))["task"]
        await finish(door, ada, moved)
        [following] = await after(ada, moved)
        assert following["project_id"] == project["id"]

    async def test_trash_keeps_a_series_and_ends_it_with_the_task(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        task = await chore(ada)
        await ok(door, "delete_task", ada, task_id=task["id"])
        await ok(door, "restore_task", ada, task_id=task["id"])
        assert (await recurrence_of(door, ada, task))["rule"] == "FREQ=WEEKLY"
        before = await rows(database)
        async with database.writing() as session:
            await session.execute(delete(Task).where(Task.id == task["id"]))
        assert await rows(database) == before - 1

    async def test_new_project_has_tasks_that_recur(self, ada: Person, door: Door) -> None:
        draft = {"title": "Water", "due_at": DUE, "recurrence": WEEKLY}
        body = {"name": "Garden", "tasks": [{"title": "All", "subtasks": [draft]}]}
        project = await ok(door, "create_project", ada, body)
        [found] = (await ada.get("/tasks", params={"project_id": project["id"], "recurring": "true"})).json()
        assert (await recurrence_of(door, ada, found))["number"] == 1
        draft["recurrence"] = {"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "timezone": "UTC"}
        refused = await run(door, "create_project", ada, body)
        assert refused.refusal == ("BAD_USER_INPUT", ["/tasks/0/subtasks/0/recurrence/rule"])

    async def test_occurrences_to_come(self, ada: Person, door: Door) -> None:
        task = await chore(ada, start_at="2027-03-21T08:00:00Z")
        found = await ok(door, "list_task_occurrences", ada, task_id=task["id"])
        assert len(found) == 10
        dates = {"start_at": "2027-03-28T07:00:00Z", "start_on": None, "due_at": AFTER, "due_on": None}
        assert found[0] == {"number": 2} | dates
        asked = {"rule": "FREQ=WEEKLY", "timezone": "Europe/Berlin", "due_at": DUE, "start_at": "2027-03-21T08:00:00Z"}
        assert await ok(door, "preview_occurrences", ada, asked) == found
        refused = await run(door, "preview_occurrences", ada, asked | {"start_at": AFTER})
        assert refused.refusal == ("BAD_USER_INPUT", ["/due_at"])
        refused = await run(door, "preview_occurrences", ada, asked | {"rule": "FREQ=DAILY;UNTIL=20270322"})
        assert refused.refusal == ("BAD_USER_INPUT", ["/rule"])

    async def test_limit_of_occurrences_is_bounded(self, ada: Person, door: Door) -> None:
        task = await chore(ada)
        if door == "rest":
            refused = await ada.get(f"/tasks/{task['id']}/occurrences", params={"limit": 11})
            found = refused.json()["errors"][0]
            assert (found["pointer"], found["detail"]) == ("/limit", "must be at most 10")
        else:
            document = "query($id: ID!) { taskOccurrences(id: $id, limit: 11) { number } }"
            answer = await ada.gql(document, {"id": task["node_id"]})
            [problem] = answer.errors[0]["extensions"]["errors"]
            assert (problem["pointer"], problem["detail"]) == ("/limit", "must be at most 10")


class TestStatements:
    async def test_tasks_that_do_not_recur_cost_nothing_more(self, ada: Person, statements: StatementCounter) -> None:
        task, seen = await ada.task(due_at=DUE), []
        for change in ({"priority": 3}, {"status": "completed", "due_at": AFTER}):
            statements.reset()
            assert (await ada.patch(f"/tasks/{task['id']}", change)).status_code == 200
            seen.append([*statements.seen])
        statements.reset()
        await ada.task(due_at=DUE)
        assert len(seen[0]) == len(seen[1])
        assert not [sql for sql in (*seen[0], *statements.seen) if "recurs" in sql or "recurrences" in sql]
        assert not [sql for sql in seen[1] if "recurrences" in sql]

    async def test_many_series_go_on_in_flat_statements_but_for_their_tasks(
        self, ada: Person, statements: StatementCounter, at: Clock
    ) -> None:
        counts: dict[int, list[int]] = {2: [], 6: []}
        # thrice, for who calls is looked up again after a second
        for number in (2, 6) * 3:
            tasks = [await chore(ada) for _ in range(number)]
            items = [{"id": task["id"], "status": "completed"} for task in tasks]
            statements.reset()
            assert (await ada.post("/tasks/bulk/update", {"tasks": items})).status_code == 200
            counts[number].append(statements.count)
        assert min(counts[2]) == min(counts[6])

    async def test_series_that_somebody_has_taken_on_gives_all_up(
        self, ada: Person, database: Database, at: Clock
    ) -> None:
        task, other = await chore(ada), await chore(ada)
        async with database.reading() as session:
            there = await series_rows.of(session, [task["id"], other["id"]])
        [first, second] = there.values()
        stale = second._replace(number=second.number + 1)
        with pytest.raises(Conflict):
            async with database.writing() as session:
                await series_rows.take_on(session, [(first, first), (stale, stale)])


class TestSchedule:
    async def test_task_is_made_when_its_time_comes_whatever_became_of_the_former_one(
        self, ada: Person, database: Database, at: Clock
    ) -> None:
        task = await chore(ada, {"create_next": "on_schedule"}, start_at="2027-03-22T06:00:00Z")
        done = await chore(ada, {"create_next": "on_schedule"})
        await finish("rest", ada, done)
        assert await after(ada, done) == []
        job = Schedule(database)
        at("2027-03-29T04:59:59Z")
        await job.make_due()
        assert await after(ada, done) == []
        at("2027-03-29T05:00:00Z")
        async with new_events(database) as events:
            await job.make_due()
        [following] = await after(ada, done)
        assert (following["start_at"], following["due_at"]) == ("2027-03-29T05:00:00Z", AFTER)
        assert following["created_by_id"] == ada.id
        assert (await ada.get(f"/tasks/{task['id']}")).json()["version"] == 2
        assert kinds(events) == ["task.updated", "task.created"]
        assert {(event.actor_id, event.actor_method) for event in events} == {(None, "system")}
        at(AFTER)
        await job.make_due()
        assert [each["due_at"] for each in await after(ada, done)] == [AFTER, AFTER]

    async def test_job_that_runs_twice_at_once_makes_one(self, ada: Person, database: Database, at: Clock) -> None:
        task = await chore(ada, {"create_next": "on_schedule"})
        at(AFTER)
        await asyncio.gather(*(Schedule(database).make_due() for _ in range(4)))
        assert len(await after(ada, task)) == 1

    async def test_of_what_was_missed_the_latest_is_made(self, ada: Person, database: Database, at: Clock) -> None:
        task = await chore(ada, {"create_next": "on_schedule"})
        at("2027-06-02T00:00:00Z")
        await Schedule(database).make_due()
        [following] = await after(ada, task)
        assert following["due_at"] == "2027-05-31T07:00:00Z"
        assert (await recurrence_of("rest", ada, following))["number"] == 11

    async def test_trash_and_archive_let_a_series_rest(self, ada: Person, database: Database, at: Clock) -> None:
        project = await ada.project()
        trashed = await chore(ada, {"create_next": "on_schedule"})
        archived = await chore(ada, {"create_next": "on_schedule"}, project_id=project["id"])
        await ada.delete(f"/tasks/{trashed['id']}")
        await ada.patch(f"/projects/{project['id']}", {"archived": True})
        at(AFTER)
        await Schedule(database).make_due()
        assert [*await after(ada, trashed), *await after(ada, archived)] == []
        await ada.post(f"/tasks/{trashed['id']}/restore")
        await ada.patch(f"/projects/{project['id']}", {"archived": False})
        await Schedule(database).make_due()
        assert [len(await after(ada, each)) for each in (trashed, archived)] == [1, 1]

    async def test_series_ends_with_its_last_task(self, ada: Person, database: Database, at: Clock) -> None:
        task = await chore(ada, {"rule": "FREQ=WEEKLY;COUNT=2", "create_next": "on_schedule"})
        at(AFTER)
        await Schedule(database).make_due()
        [last] = await after(ada, task)
        assert await recurrence_of("rest", ada, last) is None

    async def test_task_that_cannot_be_made_is_told_of_and_tried_later(
        self,
        ada: Person,
        database: Database,
        at: Clock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        task = await chore(ada, {"create_next": "on_schedule"})
        monkeypatch.setattr(logging.getLogger("tandem"), "propagate", True)
        at(AFTER)
        with monkeypatch.context() as patch, caplog.at_level("WARNING", "tandem.recurrences"):
            patch.setattr(succession, "MAX_DRAFTS", 0)
            await Schedule(database).make_due()
        assert await after(ada, task) == []
        assert f"the task after {task['id']} cannot be made" in caplog.text
        monkeypatch.setattr(schedule, "now", lambda: datetime(2027, 3, 29, 8, tzinfo=UTC) + timedelta(minutes=1))
        await Schedule(database).make_due()
        assert len(await after(ada, task)) == 1

    async def test_what_breaks_in_one_project_keeps_no_other_one_from_its_tasks(
        self, ada: Person, database: Database, at: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = await chore(ada, {"create_next": "on_schedule"}, project_id=(await ada.project())["id"])
        other = await chore(ada, {"create_next": "on_schedule"}, project_id=(await ada.project())["id"])
        at(AFTER)
        made = schedule._make

        async def breaking(session: Session, project_id: int, ids: Sequence[int]) -> None:
            if project_id == broken["project_id"]:
                raise OverflowError
            await made(session, project_id, ids)

        with monkeypatch.context() as patch:
            patch.setattr(schedule, "_make", breaking)
            await Schedule(database).make_due()
        assert await after(ada, broken) == []
        assert len(await after(ada, other)) == 1
        at("2027-03-29T07:01:00Z")
        await Schedule(database).make_due()
        assert len(await after(ada, broken)) == 1

    async def test_job_is_due_when_the_first_task_is(self, ada: Person, database: Database, at: Clock) -> None:
        await chore(ada, {"rule": "FREQ=DAILY", "create_next": "on_schedule"}, due_at="2027-03-20T12:00:20Z")
        at("2027-03-21T12:00:00Z")
        outcome = await Schedule(database).handlers["tasks.recur"](0)
        assert outcome.again_at == datetime(2027, 3, 21, 12, 0, 20, tzinfo=UTC)
