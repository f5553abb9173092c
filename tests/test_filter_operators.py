"""Conditions that a value is not one of some, and on parts of titles and descriptions."""

from typing import Any

import pytest

from db.driver.database import Database
from services.shared import prices
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.listings import graphql_filter
from tests.operations import ok, run
from tests.stored import unchanged

QUERY = "query($filter: TaskFilter) { tasks(filter: $filter) { edges { node { priority } } } }"
TASKS: list[dict[str, Any]] = [
    {"title": "Straße", "description": "First line\nSecond LINE", "priority": 1},
    {"title": "strasse 2", "status": "completed", "priority": 2},
    {"title": "100%_done", "description": "straße", "priority": 3},
    {"title": "Cafe\u0301", "description": "%", "priority": 4, "external_source": "crm", "external_id": "1"},
    {"title": "ÉCOLE", "priority": 5, "external_source": "crm", "external_id": "2"},
]


async def found(door: Door, person: Person, condition: dict[str, Any]) -> list[int]:
    """The priorities of the tasks that meet a condition, each of which is another one's."""
    rows = await ok(door, "list_tasks", person, filter=condition, sort_by="priority", order="asc")
    return [row["priority"] for row in rows]


@pytest.fixture(scope="module")
def readers() -> dict[str, Person]:
    """Who has the tasks, on each database."""
    return {}


@pytest.fixture
async def reader(readers: dict[str, Person], lasting: dict[str, People], backend: str) -> Person:
    if backend not in readers:
        person = await lasting[backend]()
        for fields in TASKS:
            await person.task(**fields)
        readers[backend] = person
    return readers[backend]


@on_both_doors
class TestOperators:
    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ({"title": {"contains": "STRASSE"}}, [1, 2]),
            ({"title": {"contains": "asse"}}, [1, 2]),
            ({"title": {"starts_with": "straß"}}, [1, 2]),
            ({"title": {"starts_with": "asse"}}, []),
            ({"title": {"contains": "0%_d"}}, [3]),
            ({"title": {"contains": "_"}}, [3]),
            ({"title": {"contains": "É"}}, [4, 5]),
            ({"title": {"starts_with": "e\u0301"}}, [5]),
            ({"title": {"contains": "first"}}, []),
            ({"title": {"contains": "done", "starts_with": "100"}}, [3]),
            ({"description": {"contains": "second line"}}, [1]),
            ({"description": {"contains": "line\nsecond"}}, [1]),
            ({"description": {"contains": "strasse"}}, [3]),
            ({"description": {"starts_with": "FIRST"}}, [1]),
            ({"description": {"starts_with": "second"}}, []),
            ({"description": {"contains": "%"}}, [4]),
            ({"description": {"is_null": True}}, [2, 5]),
            ({"not": {"description": {"contains": "line"}}}, [2, 3, 4, 5]),
            ({"not": {"title": {"contains": "strasse"}}}, [3, 4, 5]),
            ({"title": {"ne": "Straße"}}, [2, 3, 4, 5]),
            ({"title": {"not_in": ["Straße", "Caf\u00e9"]}}, [2, 3, 5]),
            ({"priority": {"ne": 3}}, [1, 2, 4, 5]),
            ({"priority": {"not_in": [1, 5]}}, [2, 3, 4]),
            ({"status": {"ne": "completed"}}, [1, 3, 4, 5]),
            ({"status": {"ne": "pending"}}, [2]),
            ({"status": {"not_in": ["completed", "pending"]}}, []),
            ({"status": {"not_in": ["in_progress"]}}, [1, 2, 3, 4, 5]),
            ({"external_id": {"ne": "1"}}, [5]),
            ({"not": {"external_id": {"eq": "1"}}}, [1, 2, 3, 5]),
            ({"external_id": {"not_in": ["2"]}}, [4]),
        ],
    )
    async def test_holds_for_these(
        self, reader: Person, door: Door, condition: dict[str, Any], expected: list[int]
    ) -> None:
        assert await found(door, reader, condition) == expected
        inside = {"or": [condition, {"and": [condition, {"priority": {"gte": 1}}]}]}
        assert await found(door, reader, inside) == expected

    async def test_references(self, ada: Person, bob: Person, door: Door) -> None:
        project, other = await ada.project(), await ada.project()
        await ada.invite(project, bob)
        one = await ada.task(project_id=project["id"], priority=1)
        two = await bob.task(project_id=project["id"], priority=2, parent_id=one["id"])
        await ada.task(project_id=other["id"], priority=3)
        for condition, expected in (
            ({"project": {"ne": project["id"]}}, [3]),
            ({"project": {"not_in": [other["id"]]}}, [1, 2]),
            ({"created_by": {"ne": ada.id}}, [2]),
            ({"parent": {"ne": one["id"]}}, []),
            ({"parent": {"not_in": [two["id"]]}}, [2]),
        ):
            spelt: dict[str, Any] = condition
            if door == "graphql":
                answer = await ada.gql(QUERY, {"filter": graphql_filter(spelt)})
                rows = [edge["node"]["priority"] for edge in answer.data["tasks"]["edges"]]
            else:
                rows = await found(door, ada, spelt)
            assert sorted(rows) == expected, condition

    @pytest.mark.parametrize(
        ("condition", "pointer"),
        [
            ({"title": {"contains": ""}}, "/filter/title/contains"),
            ({"title": {"contains": "two\nlines"}}, "/filter/title/contains"),
            ({"title": {"starts_with": "\u200b"}}, "/filter/title/starts_with"),
            ({"description": {"contains": "x" * 101}}, "/filter/description/contains"),
            ({"priority": {"not_in": []}}, "/filter/priority/not_in"),
            ({"priority": {"ne": None}}, "/filter/priority/ne"),
        ],
    )
    async def test_value_outside_the_rules_is_refused(
        self, ada: Person, door: Door, database: Database, condition: dict[str, Any], pointer: str
    ) -> None:
        async with unchanged(database):
            answer = await run(door, "list_tasks", ada, filter=condition)
        assert answer.refusal == ("BAD_USER_INPUT", [pointer])


def test_parts_cost_what_a_look_into_each_text_does() -> None:
    plain = prices.of_filter({"title": {"eq": "x"}})
    for condition in (
        {"title": {"contains": "x"}},
        {"description": {"startsWith": "x"}},
        {"title": {"starts_with": "x"}},
    ):
        assert prices.of_filter(condition) - plain == prices.PART - prices.CONDITION
