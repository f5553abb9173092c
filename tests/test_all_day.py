"""Dates without a time: a task starts, and is due, on a day wherever one is."""

import operator
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.clock import wire_format
from db.driver.database import Database
from services.events import due_dates
from services.events.due_dates import DueDates
from services.events.numbering import number_all
from services.shared import conditions
from services.tasks import dates
from services.tasks.models import TaskOut
from services.tasks.queries import by_ids
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors, spelt
from tests.operations import ok, run
from tests.statements import StatementCounter
from tests.stored import unchanged

AUCKLAND, HONOLULU = "Pacific/Auckland", "Pacific/Honolulu"
EVE = {"due_on": "2026-12-24"}
NOTHING = dict.fromkeys(("start_at", "start_on", "due_at", "due_on"))


def dated(task: dict[str, Any]) -> dict[str, Any]:
    return {name: task[name] for name in NOTHING}


async def titles(door: Door, person: Person, condition: dict[str, Any], **options: Any) -> list[str]:
    return [task["title"] for task in await ok(door, "list_tasks", person, filter=condition, **options)]


@on_both_doors
class TestFields:
    async def test_a_task_is_due_on_a_day_or_at_an_instant(self, ada: Person, door: Door) -> None:
        task = await ok(door, "create_task", ada, {"title": "x", "start_on": "2026-12-01", **EVE})
        assert dated(task) == {**NOTHING, "start_on": "2026-12-01", **EVE}
        for sent, due in (
            ({"due_at": "2026-12-24T17:00:00+01:00"}, {"due_at": "2026-12-24T16:00:00Z", "due_on": None}),
            ({"due_on": "2026-12-25"}, {"due_at": None, "due_on": "2026-12-25"}),
            ({"due_at": None}, {"due_at": None, "due_on": "2026-12-25"}),  # that it has not
            ({"due_at": None, "due_on": "2026-12-26"}, {"due_at": None, "due_on": "2026-12-26"}),
            ({"due_on": None}, {"due_at": None, "due_on": None}),
        ):
            task = await ok(door, "update_task", ada, sent, task_id=task["id"])
            assert dated(task) == {**NOTHING, "start_on": "2026-12-01", **due}, sent
            assert await ok(door, "get_task", ada, task_id=task["id"]) == task

    @pytest.mark.parametrize(
        ("sent", "pointer", "sentence"),
        [
            ({"due_on": "2026-02-30"}, "/due_on", "is no day of the calendar"),
            ({"due_on": "0000-01-01"}, "/due_on", "is no day of the calendar"),
            ({"due_on": "10000-01-01"}, "/due_on", "must be a date without a time"),
            ({"due_on": "2026-12-24T00:00:00Z"}, "/due_on", "must be a date without a time"),
            ({"due_on": "today"}, "/due_on", "must be a date without a time"),
            ({"start_on": "2026-1-1"}, "/start_on", "must be a date without a time"),
            ({"due_at": "2026-12-24"}, "/due_at", "must be a date and time with a UTC offset"),
            ({**EVE, "due_at": "2026-12-24T12:00:00Z"}, "/due_on", "not together with due_at"),
            ({**EVE, "start_on": "2026-12-25"}, "/due_on", "must not be before start_on"),
            # midnight where the day ends last, and begins first
            ({**EVE, "start_at": "2026-12-25T12:00:00.000001Z"}, "/due_on", "must not be before start_at"),
            ({"start_on": "2026-12-24", "due_at": "2026-12-23T09:59:59Z"}, "/due_at", "must not be before start_on"),
        ],
    )
    async def test_what_is_no_date_is_refused_in_a_sentence(
        self, ada: Person, door: Door, database: Database, sent: dict[str, str], pointer: str, sentence: str
    ) -> None:
        task = await ada.task()
        async with unchanged(database):
            for operation, ids in (("create_task", {}), ("update_task", {"task_id": task["id"]})):
                answer = await run(door, operation, ada, {"title": "x", **sent}, **ids)
                assert answer.code == "BAD_USER_INPUT"
                [found] = answer.pointers
                assert found.replace("dueOn", "due_on").replace("dueAt", "due_at").replace("startOn", "start_on") == (
                    pointer
                )
                told = re.sub("[a-z]+_(at|on)", lambda name: spelt(door, name[0]), sentence)
                assert answer.message.startswith(f"/{spelt(door, pointer[1:])}: {told}")

    async def test_dates_of_the_edge_are_taken(self, ada: Person, door: Door) -> None:
        for sent in (
            {"start_on": "2026-12-24", **EVE},
            {"start_at": "2026-12-25T11:59:59Z", **EVE},
            {"start_on": "2026-12-24", "due_at": "2026-12-23T10:00:00Z"},
            {"start_on": "0001-01-01", "due_on": "9999-12-31"},
            {"start_at": "0001-01-01T00:00:00Z", "due_on": "0001-01-01"},
            {"start_on": "9999-12-31", "due_at": "9999-12-31T00:00:00Z"},
        ):
            assert dated(await ok(door, "create_task", ada, {"title": "x", **sent})) == {**NOTHING, **sent}

    async def test_an_order_that_a_change_would_make_wrong_is_refused(self, ada: Person, door: Door) -> None:
        task = await ada.task(start_on="2026-12-20", due_on="2026-12-24")
        refused = await run(door, "update_task", ada, {"due_on": "2026-12-19"}, task_id=task["id"])
        assert refused.refusal == ("BAD_USER_INPUT", ["/due_on"])
        assert await ok(door, "update_task", ada, {"start_on": None, "due_on": "2026-12-19"}, task_id=task["id"])

    async def test_its_history_tells_of_days(self, ada: Person, door: Door) -> None:
        task = await ada.task(**EVE)
        await ok(door, "update_task", ada, {"due_at": "2026-12-31T12:00:00Z"}, task_id=task["id"])
        changed, created = await ok(door, "list_task_history", ada, task_id=task["id"])
        assert {"field": "due_on", "before": None, "after": "2026-12-24"} in created["changes"]
        assert changed["changes"] == [
            {"field": "due_at", "before": None, "after": "2026-12-31T12:00:00Z"},
            {"field": "due_on", "before": "2026-12-24", "after": None},
        ]

    async def test_an_upsert_that_runs_twice_changes_nothing(self, ada: Person, door: Door, database: Database) -> None:
        ids = {"external_source": "crm", "external_id": "C-1"}
        body = {"title": "x", "start_at": "2026-12-01T08:00:00Z", **EVE}
        task = await ok(door, "upsert_task", ada, body, **ids)
        async with unchanged(database):
            assert await ok(door, "upsert_task", ada, body, **ids) == task
        after = await ok(door, "upsert_task", ada, {"title": "x", "due_at": "2026-12-24T12:00:00Z"}, **ids)
        assert (after["due_at"], after["due_on"], after["version"]) == ("2026-12-24T12:00:00Z", None, 2)

    async def test_what_is_made_again_is_due_on_the_same_day(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"], start_on="2026-12-01", **EVE)
        again = await ok(door, "duplicate_task", ada, {}, task_id=task["id"])
        copy = await ok(door, "duplicate_project", ada, {"name": "Again"}, project_id=project["id"])
        copies = await ok(door, "list_tasks", ada, filter={"project": {"key": {"eq": copy["key"]}}})
        assert [dated(each) for each in (again, *copies)] == [dated(task)] * 3

    async def test_bulk_calls_take_days(self, ada: Person, door: Door) -> None:
        made = await ok(door, "create_tasks", ada, {"tasks": [{"title": "a", **EVE}, {"title": "b"}]})
        first, second = (result["task"] for result in made["results"])
        assert first["due_on"] == "2026-12-24"
        changes = [{"id": first["id"], "due_at": "2026-12-24T12:00:00Z"}, {"id": second["id"], **EVE}]
        done = await ok(door, "update_tasks", ada, {"tasks": changes})
        assert [result["task"]["due_on"] for result in done["results"]] == [None, "2026-12-24"]
        body = {"filter": {"due_on": {"eq": "2026-12-24"}}, "changes": {"due_on": "2026-12-31"}}
        assert (await ok(door, "update_matching_tasks", ada, body))["succeeded"] == 1
        assert await titles(door, ada, {"due_on": {"gt": "2026-12-24"}}) == ["b"]


@asynccontextmanager
async def present(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A while in which it is then."""
    with monkeypatch.context() as patch:
        patch.setattr(conditions, "now", lambda: moment)
        yield


NOON = datetime(2026, 12, 24, 12, tzinfo=UTC)
"""On Christmas Eve in UTC it is Christmas in Auckland, and two in the morning in Honolulu."""
ZONES = ("UTC", AUCKLAND, HONOLULU)


class TestDays:
    @on_both_doors
    async def test_a_day_is_over_when_it_has_ended_where_one_is(
        self, ada: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same task and instant, asked from three places."""
        for day in (23, 24, 25):
            await ada.task(title=str(day), due_on=f"2026-12-{day}")
        today: dict[str, Any] = {"due_at": {"gte": "today", "lt": "today+1d"}}
        expected = {"UTC": (["23"], ["24"]), AUCKLAND: (["23", "24"], ["25"]), HONOLULU: (["23"], ["24"])}
        async with present(NOON, monkeypatch):
            for zone, (overdue, due) in expected.items():
                await ada.patch("/users/me", {"timezone": zone})
                assert sorted(await titles(door, ada, {"overdue": True})) == overdue, zone
                assert await titles(door, ada, today) == due, zone
                assert await titles(door, ada, {"due_on": {"eq": "today"}}) == due, zone
                assert sorted(await titles(door, ada, {"overdue": False})) == sorted({"23", "24", "25"} - {*overdue})

    async def test_never_during_it(self, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        await ada.task(title="x", **EVE)
        for zone in ZONES:
            await ada.patch("/users/me", {"timezone": zone})
            ends = datetime(2026, 12, 25, tzinfo=ZoneInfo(zone)).astimezone(UTC)
            for moment, late in ((ends - timedelta.resolution, []), (ends, ["x"])):
                async with present(moment, monkeypatch):
                    assert await titles("rest", ada, {"overdue": True}) == late, (zone, moment)

    async def test_any_bound_is_compared_by_the_callers_clock(self, ada: Person) -> None:
        """With a list in Python: days and instants around, in three places, by both orders of reading."""
        days = {f"day {each}": date(2026, 12, each) for each in (23, 24, 25)}
        instants = {f"at {each}": NOON + timedelta(hours=each) for each in (-36, -14, -1, 0, 9, 13, 36)}
        parent = await ada.task(title="parent", **EVE)
        for title, day in days.items():
            await ada.task(title=title, due_on=day.isoformat(), start_on=day.isoformat(), parent_id=parent["id"])
        for title, instant in instants.items():
            await ada.task(title=title, due_at=wire_format(instant), start_at=wire_format(instant))
        everything = {*days, *instants}
        for zone in ZONES:
            await ada.patch("/users/me", {"timezone": zone})
            for hours, name in product((-37, -12, 0, 10, 14), ("lt", "gte")):
                bound = NOON + timedelta(hours=hours)
                by_clock = bound.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
                compare = {"lt": operator.lt, "gte": operator.ge}[name]
                met = {title for title, instant in instants.items() if compare(instant, bound)}
                starting = met | {
                    title for title, day in days.items() if compare(datetime(day.year, day.month, day.day), by_clock)
                }
                due = met | {
                    title
                    for title, day in days.items()
                    if compare(datetime(day.year, day.month, day.day, 23, 59, 59, 999999), by_clock)
                }
                parental = compare(datetime(2026, 12, 24, 23, 59, 59, 999999), by_clock)
                asked = {name: wire_format(bound)}
                for order in ("due_at", "title")[hours % 4 > 0 :][:1]:
                    path = {"sort_by": order, "limit": 100}
                    for condition, wanted in (
                        ({"due_at": asked}, due),
                        ({"not": {"due_at": asked}}, everything - due),
                        ({"start_at": asked}, starting),
                        ({"parent": {"due_at": asked}}, {*days} if parental else set()),
                    ):
                        body = {"and": [condition, {"title": {"ne": "parent"}}]}
                        answer = await ada.post("/tasks/query", body, params=path)
                        found = {task["title"] for task in answer.json()}
                        assert found == wanted, (zone, condition, order)
                counted = await ada.post("/tasks/query", {"due_at": asked}, params={"total": "true"})
                assert int(counted.headers["X-Total-Count"]) == len(due) + parental

    @on_both_doors
    async def test_days_have_conditions_of_their_own(self, ada: Person, door: Door) -> None:
        for day in (23, 24, 25):
            await ada.task(title=str(day), due_on=f"2026-12-{day}", start_on="2026-12-01")
        await ada.task(title="at", due_at="2026-12-24T12:00:00Z")
        await ada.task(title="none")
        for asked, found in (
            ({"due_on": {"eq": "2026-12-24"}}, {"24"}),
            ({"due_on": {"ne": "2026-12-24"}}, {"23", "25"}),
            ({"due_on": {"in": ["2026-12-24", "2026-12-23", "2026-12-24", "today-9999d"]}}, {"23", "24"}),
            ({"due_on": {"not_in": ["2026-12-24", "2026-12-23"]}, "start_on": {"in": ["2026-12-01"]}}, {"25"}),
            ({"due_on": {"lt": "2026-12-24"}}, {"23"}),
            ({"due_on": {"lte": "2026-12-24"}}, {"23", "24"}),
            ({"due_on": {"gt": "2026-12-24"}}, {"25"}),
            ({"due_on": {"gte": "2026-12-24", "lt": "2026-12-25"}}, {"24"}),
            ({"due_on": {"is_null": True}}, {"at", "none"}),
            ({"due_on": {"is_null": False}, "start_on": {"eq": "2026-12-01"}}, {"23", "24", "25"}),
            # due at all
            ({"due_at": {"is_null": False}}, {"23", "24", "25", "at"}),
            ({"due_at": {"is_null": True}}, {"none"}),
            ({"not": {"due_on": {"eq": "2026-12-24"}}}, {"23", "25", "at", "none"}),
        ):
            assert {*await titles(door, ada, asked)} == found, asked
        flat = await ada.get("/tasks?due_on=2026-12-24&due_on=today-9999d&status=pending")
        assert [task["title"] for task in flat.json()] == ["24"]
        for wrong in ("2026-12-24T00:00:00Z", "2026-02-30", "tomorrow"):
            for condition in ({"lt": wrong}, {"in": ["2026-12-24", wrong]}):
                answer = await run(door, "list_tasks", ada, filter={"due_on": condition})
                assert answer.code == "BAD_USER_INPUT"
        refused = await run(door, "list_tasks", ada, filter={"due_on": {"gt": "2026-12-24", "lt": "2026-12-01"}})
        assert refused.code == "BAD_USER_INPUT"

    async def test_the_ends_of_the_calendar_are_found_from_anywhere(self, ada: Person) -> None:
        for day in ("0001-01-01", "9999-12-31"):
            await ada.task(title=day, due_on=day)
        for zone in ZONES:
            await ada.patch("/users/me", {"timezone": zone})
            assert await titles("rest", ada, {"due_at": {"lt": "0001-01-03T00:00:00Z"}}) == ["0001-01-01"]
            assert await titles("rest", ada, {"due_at": {"gt": "9999-12-30T00:00:00Z"}}) == ["9999-12-31"]
            assert len(await titles("rest", ada, {"due_at": {"gte": "0001-01-01T00:00:00Z"}})) == 2
            assert await titles("rest", ada, {"overdue": True}) == ["0001-01-01"]

    @on_both_doors
    async def test_lists_are_walked_through_days_and_instants(self, ada: Person, door: Door) -> None:
        """A day lies at its end in UTC, whoever asks."""
        await ada.patch("/users/me", {"timezone": AUCKLAND})
        await ada.task(title="none")
        await ada.task(title="day", **EVE)
        await ada.task(title="noon", due_at="2026-12-24T12:00:00Z")
        await ada.task(title="later", due_at="2026-12-25T00:00:00Z")
        seen: list[str] = []
        cursor = None
        while cursor is not None or not seen:
            if door == "rest":
                params = {"sort_by": "due_at", "order": "asc", "limit": 1} | ({"cursor": cursor} if cursor else {})
                answer = await ada.get("/tasks", params=params)
                page, link = answer.json(), answer.links.get("next", {}).get("url", "")
                cursor = link.partition("cursor=")[2].partition("&")[0] or None
            else:
                document = """query($after: String) { tasks(orderBy: {field: DUE_AT, direction: ASC}, first: 1,
                    after: $after) { edges { cursor node { title } } pageInfo { hasNextPage } } }"""
                told = (await ada.gql(document, {"after": cursor})).data["tasks"]
                page = [edge["node"] for edge in told["edges"]]
                cursor = told["edges"][-1]["cursor"] if told["pageInfo"]["hasNextPage"] else None
            seen += [task["title"] for task in page]
        assert seen == ["noon", "day", "later", "none"]

    async def test_a_filter_costs_a_caller_in_utc_nothing(self, ada: Person, statements: StatementCounter) -> None:
        await ada.task(**EVE)
        numbers = []
        for condition in ({"priority": {"gte": 1}}, {"due_at": {"lt": "2027-01-01T00:00:00Z"}}, {"overdue": True}):
            await titles("rest", ada, condition)
            statements.reset()
            await titles("rest", ada, condition)
            numbers.append(statements.count)
        assert len({*numbers}) == 1


class TestTold:
    async def test_those_who_are_told_of_tasks_are_told_the_days(self, ada: Person, database: Database) -> None:
        task = await ada.task(**EVE)
        found = await by_ids(database.reads, ada.actor, [task["id"]])
        written = TaskOut.model_validate(found[task["id"]]).model_dump(mode="json")
        assert dated(written) == {**NOTHING, **EVE}

    async def test_it_is_overdue_when_the_day_is_over_for_all_who_are_to_do_it(
        self, ada: Person, people: People, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project, those = await ada.project(), []
        for zone in (AUCKLAND, HONOLULU):
            person = await people()
            await ada.invite(project, person, "member")
            await person.patch("/users/me", {"timezone": zone})
            those.append(person.id)
        task = await ada.task(project_id=project["id"], assignee_ids=those, due_on="2036-06-10")
        alone = await ada.task(project_id=project["id"], assignee_ids=those[:1], due_on="2036-06-10")
        seen = []
        for moment in (
            # it is the 9th in Auckland; the 10th is over there; the 11th in UTC; the 10th is over in Honolulu
            datetime(2036, 6, 8, 12, tzinfo=UTC),
            datetime(2036, 6, 10, 12, tzinfo=UTC),
            datetime(2036, 6, 11, 9, 59, 59, tzinfo=UTC),
            datetime(2036, 6, 11, 10, tzinfo=UTC),
        ):
            monkeypatch.setattr(due_dates, "now", lambda moment=moment: moment)
            for _ in range(2):
                await DueDates(database, 1).tell()
            await number_all(database)
            seen.append([await self._told(ada, each) for each in (task, alone)])
        soon, late = "task.due_soon", "task.overdue"
        assert seen == [[[soon], [soon]], [[soon], [soon, late]], [[soon], [soon, late]], [[soon, late], [soon, late]]]
        events = (await ada.get(f"/tasks/{task['id']}/history")).json()
        assert events[0]["changes"] == [{"field": "due_on", "before": None, "after": "2036-06-10"}]

    async def _told(self, person: Person, task: dict[str, Any]) -> list[str]:
        events = (await person.get(f"/tasks/{task['id']}/history")).json()
        return [event["kind"] for event in reversed(events) if event["kind"] in ("task.due_soon", "task.overdue")]


class TestClocks:
    @pytest.mark.parametrize("zone", ["UTC", AUCKLAND, HONOLULU])
    @pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
    def test_the_ends_of_the_calendar_have_an_instant(self, zone: str, moment: datetime) -> None:
        assert abs(dates.by_clock(moment, ZoneInfo(zone)) - moment) <= timedelta(hours=14)

    def test_a_day_ends_when_the_next_one_begins_also_when_clocks_change(self) -> None:
        assert dates.end_in(date(2026, 3, 29), ZoneInfo("Europe/Vienna")) == datetime(2026, 3, 29, 22, tzinfo=UTC)
