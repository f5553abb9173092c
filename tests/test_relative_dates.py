"""Filters on instants that are said by the calendar, in the caller's time zone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core import clock
from db.driver.database import Database
from services.shared import conditions
from services.shared.moments import RelativeMoment
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.statements import StatementCounter
from tests.stored import unchanged

VIENNA, KIRITIMATI = "Europe/Vienna", "Pacific/Kiritimati"


class TestMoments:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("now", "2026-03-27T23:30:00+00:00"),
            ("now+36h", "2026-03-29T11:30:00+00:00"),
            ("now-2h", "2026-03-27T21:30:00+00:00"),
            ("now+1d", "2026-03-28T23:30:00+00:00"),
            # the clocks change on 29 March: a day later is an hour less
            ("now+2d", "2026-03-29T22:30:00+00:00"),
            ("now+48h", "2026-03-29T23:30:00+00:00"),
            ("today", "2026-03-27T23:00:00+00:00"),
            ("today+2d", "2026-03-29T22:00:00+00:00"),
            ("today+1w", "2026-04-03T22:00:00+00:00"),
            ("today-1m", "2026-02-27T23:00:00+00:00"),
            ("start_of_week", "2026-03-22T23:00:00+00:00"),
            ("start_of_week+1w", "2026-03-29T22:00:00+00:00"),
            ("start_of_month", "2026-02-28T23:00:00+00:00"),
            ("start_of_month+1m-1d", "2026-03-30T22:00:00+00:00"),
            ("start_of_year", "2025-12-31T23:00:00+00:00"),
            ("start_of_year-1y+9h", "2025-01-01T08:00:00+00:00"),
            ("today+9h", "2026-03-28T08:00:00+00:00"),
        ],
    )
    def test_are_of_the_calendar_of_a_place(self, text: str, expected: str) -> None:
        present = datetime(2026, 3, 27, 23, 30, tzinfo=UTC)  # the 28th, half past midnight, in Vienna
        moment = RelativeMoment.parse(text)
        assert moment is not None
        assert moment.at(present, ZoneInfo(VIENNA)).isoformat() == expected

    @pytest.mark.parametrize(
        ("day", "text", "expected"),
        [
            ("2026-01-31", "today+1m", "2026-02-28"),
            ("2024-01-31", "today+1m", "2024-02-29"),
            ("2024-02-29", "today+1y", "2025-02-28"),
            ("2026-03-31", "today-1m", "2026-02-28"),
            ("2026-01-31", "today+1m+1m", "2026-03-28"),
            ("2026-12-15", "today+1m", "2027-01-15"),
            ("2026-01-15", "today-13m", "2024-12-15"),
        ],
    )
    def test_a_month_without_such_a_day_ends_with_its_last(self, day: str, text: str, expected: str) -> None:
        moment = RelativeMoment.parse(text)
        assert moment is not None
        found = moment.at(datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC), UTC)
        assert found.isoformat() == f"{expected}T00:00:00+00:00"

    def test_a_midnight_that_a_clock_leaves_out_is_when_the_day_begins(self) -> None:
        # Beirut's clocks went from 00:00 to 01:00 on 31 March 2024
        present = datetime(2024, 3, 31, 12, tzinfo=UTC)
        moment = RelativeMoment("today").at(present, ZoneInfo("Asia/Beirut"))
        assert moment == datetime(2024, 3, 30, 22, tzinfo=UTC)

    def test_is_said_in_one_way(self) -> None:
        assert RelativeMoment.parse("today 7d") == "today+7d"


REFUSED = [
    *("", "tomorrow", "today+", "today+7", "today+d", "today+1.5d", "today+12345d", "TODAY", " today", "today\n"),
    *("today+1d+1d+1d+1d", "now+٣d", "today+9999y", "start_of_year-9999y", "today+1M", "7d", "today\x00"),
    *("2026-01-31", "2026-01-31T12:00:00", "0001-01-01T00:00:00+14:00"),
]


@pytest.fixture
async def tasks(ada: Person) -> dict[str, dict[str, Any]]:
    """Tasks that are due so many days from the beginning of the caller's day."""
    await ada.patch("/users/me", {"timezone": KIRITIMATI})
    today = datetime.now(ZoneInfo(KIRITIMATI)).replace(hour=0, minute=0, second=0, microsecond=0)
    offsets = {"past": -3, "early": 0, "soon": 6, "later": 8}
    made = {
        name: await ada.task(title=name, due_at=(today + timedelta(days=days, hours=1)).isoformat())
        for name, days in offsets.items()
    }
    made["undated"] = await ada.task(title="undated")
    return made


async def titles(door: Door, person: Person, condition: dict[str, Any], **options: Any) -> set[str]:
    return {task["title"] for task in await ok(door, "list_tasks", person, filter=condition, **options)}


@on_both_doors
class TestFilters:
    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ({"lt": "today"}, {"past"}),
            ({"gte": "today", "lt": "today+1d"}, {"early"}),
            ({"gte": "today", "lt": "today+1w"}, {"early", "soon"}),
            ({"gt": "today+7d"}, {"later"}),
            ({"gte": "today-1m", "lte": "today+1y"}, {"past", "early", "soon", "later"}),
            ({"gt": "2020-01-01T00:00:00Z", "lt": "today+2h"}, {"past", "early"}),
            ({"gt": "today+9d", "lt": "today"}, set()),
        ],
    )
    async def test_are_in_the_callers_time_zone(
        self, ada: Person, tasks: dict[str, Any], door: Door, condition: dict[str, Any], expected: set[str]
    ) -> None:
        assert await titles(door, ada, {"due_at": condition}) == expected
        opposite = {"not": {"due_at": condition}}
        assert await titles(door, ada, opposite) == tasks.keys() - expected
        either = {"or": [{"due_at": condition}, {"title": {"eq": "undated"}}]}
        assert await titles(door, ada, either) == expected | {"undated"}

    async def test_a_saved_view_moves_along(
        self, ada: Person, tasks: dict[str, Any], door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        condition = {"due_at": {"gte": "today", "lt": "today+1w"}}
        view = await ok(door, "create_saved_view", ada, {"name": "Week", "filter": condition})
        assert view["filter"] == condition
        assert await titles(door, ada, {}, view=view["id"]) == {"early", "soon"}
        monkeypatch.setattr(conditions, "now", lambda: clock.now() + timedelta(days=2))
        assert await titles(door, ada, {}, view=view["id"]) == {"soon", "later"}

    @pytest.mark.parametrize("text", REFUSED)
    async def test_what_is_no_instant_is_refused(self, ada: Person, door: Door, database: Database, text: str) -> None:
        async with unchanged(database):
            answer = await run(door, "list_tasks", ada, filter={"due_at": {"lt": text}})
        assert answer.code == "BAD_USER_INPUT"
        [pointer] = answer.pointers
        assert pointer.replace("dueAt", "due_at") == "/filter/due_at/lt"

    async def test_a_view_that_has_left_the_calendar_says_so(
        self, ada: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        years = 9999 - datetime.now(UTC).year
        condition = {"due_at": {"lt": f"start_of_year+{years}y"}}
        view = await ok(door, "create_saved_view", ada, {"name": "Far", "filter": condition})
        monkeypatch.setattr(conditions, "now", lambda: clock.now() + timedelta(days=366))
        answer = await run(door, "list_tasks", ada, view=view["id"])
        assert answer.refusal == ("BAD_USER_INPUT", ["/filter"])

    async def test_only_filters_take_them(self, ada: Person, door: Door, database: Database) -> None:
        async with unchanged(database):
            answer = await run(door, "create_task", ada, {"title": "x", "due_at": "today+7d"})
        assert answer.code == "BAD_USER_INPUT"

    async def test_counts_and_changes_take_them(self, ada: Person, tasks: dict[str, Any], door: Door) -> None:
        body = {"filter": {"due_at": {"lt": "today"}}, "changes": {"priority": 5}}
        done = await ok(door, "update_matching_tasks", ada, body)
        assert (done["succeeded"], len(done["results"])) == (1, 1)
        assert (await ok(door, "get_task", ada, task_id=tasks["past"]["id"]))["priority"] == 5


class TestRest:
    async def test_parameters_take_them_with_a_plus_that_is_not_escaped(
        self, ada: Person, tasks: dict[str, Any]
    ) -> None:
        for query in ("due_after=today&due_before=today%2B7d", "due_after=today&due_before=today+7d"):
            assert {task["title"] for task in (await ada.get(f"/tasks?{query}")).json()} == {"early", "soon"}

    async def test_a_walk_goes_on(self, ada: Person, tasks: dict[str, Any]) -> None:
        seen: list[str] = []
        url: str | None = "/tasks"
        options = {"filter": '{"due_at": {"lt": "today+1y"}}', "sort_by": "due_at", "order": "asc", "limit": "1"}
        while url is not None:
            answer = await ada.get(url, params=options if url == "/tasks" else None)
            seen += [task["title"] for task in answer.json()]
            following = answer.links.get("next")
            url = None if following is None else following["url"].partition("/api/v1")[2]
        assert seen == ["past", "early", "soon", "later"]


@on_both_doors
async def test_other_lists_take_them(ada: Person, door: Door) -> None:
    made = await ada.post(
        "/users/me/api-keys", {"name": "key", "scopes": ["tasks:read"], "expires_at": "2099-01-01T00:00:00Z"}
    )
    assert made.status_code == 201
    for condition, number in (({"gt": "today"}, 1), ({"lt": "now+1y"}, 0), ({"gt": "yesterday"}, None)):
        if door == "rest":
            answer = await ada.get("/users/me/api-keys", params={"filter": json.dumps({"expires_at": condition})})
            found = len(answer.json()) if answer.status_code == 200 else None
        else:
            document = "query($f: ApiKeyFilter) { apiKeys(filter: $f) { edges { node { id } } } }"
            told = await ada.gql(document, {"f": {"expiresAt": condition}})
            found = None if "errors" in told.body else len(told.data["apiKeys"]["edges"])
        assert found == number


class TestGraphQL:
    async def test_a_variable_of_its_own_takes_them(self, ada: Person, tasks: dict[str, Any]) -> None:
        document = "query($due: DateTime) { tasks(filter: {dueAt: {lt: $due}}) { nodes: edges { node { title } } } }"
        answer = await ada.gql(document, {"due": "today"})
        assert [edge["node"]["title"] for edge in answer.data["tasks"]["nodes"]] == ["past"]
        refused = await ada.gql(document, {"due": "yesterday"})
        assert refused.code == "BAD_USER_INPUT"


async def test_a_zone_is_known_with_its_caller(ada: Person, statements: StatementCounter) -> None:
    used = []
    await ok("rest", "list_tasks", ada, filter={"due_at": {"is_null": True}})  # what is remembered of a caller
    for condition in ({"gt": "2026-01-01T00:00:00Z"}, {"gt": "today", "lt": "today+7d"}):
        statements.reset()
        await ok("rest", "list_tasks", ada, filter={"due_at": condition})
        used.append(statements.count)
    assert used[1] == used[0]
