"""Lists of tasks by several keys: on both doors, page by page, below projects, in the trash and in saved views."""

from typing import Any

import pytest

from db.driver.database import Database
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.listings import graphql_page, ids, walk_connection, walk_links
from tests.operations import ok, run
from tests.statements import StatementCounter

DUE = ["2026-05-02T00:00:00Z", None, "2026-05-01T00:00:00Z"]
NESTED = """query($id: ID!, $order: TaskOrder, $then: [TaskOrder!], $after: String) {
    project(id: $id) { tasks(orderBy: $order, thenBy: $then, first: 5, after: $after) {
        edges { cursor node { id: databaseId } } pageInfo { hasNextPage endCursor }
    } }
}"""


async def tasks(ada: Person, project: dict[str, Any]) -> list[dict[str, Any]]:
    """Twelve tasks: of two priorities, each of which has the same dates several times, and none."""
    return [
        await ada.task(
            project_id=project["id"], title=f"Task {number % 4}", priority=1 + number % 2, due_at=DUE[number % 3]
        )
        for number in range(12)
    ]


def by_priority_and_date(made: list[dict[str, Any]]) -> list[int]:
    """By priority; then the latest first, and those without a date last; then the newest."""
    dated = sorted(made, key=lambda task: task["due_at"] or "", reverse=True)
    newest = sorted(dated, key=lambda task: (task["due_at"] or "", task["id"]), reverse=True)
    return ids(sorted(newest, key=lambda task: task["priority"]))


def flat(pages: list[list[int]]) -> list[int]:
    return [task_id for page in pages for task_id in page]


ORDER: dict[str, Any] = {
    "orderBy": {"field": "PRIORITY", "direction": "ASC"},
    "thenBy": [{"field": "DUE_AT", "direction": "DESC"}],
}


async def test_pages_go_on_on_both_doors(ada: Person) -> None:
    project = await ada.project()
    expected = by_priority_and_date(await tasks(ada, project))
    start = f"/api/v1/tasks?project_id={project['id']}&sort_by=priority,-due_at&limit=5&fields=id"
    condition = {"project": {"eq": project["node_id"]}}

    assert flat(await walk_links(ada, start, "next")) == expected
    assert flat(await walk_connection(ada, size=5, filter=condition, **ORDER)) == expected
    backwards = await walk_connection(ada, backwards=True, size=5, filter=condition, **ORDER)
    assert flat(backwards[::-1]) == expected
    # a cursor of one door is one of the other
    page = (await graphql_page(ada, first=4, filter=condition, **ORDER)).data["tasks"]
    assert flat(await walk_links(ada, f"{start}&cursor={page['pageInfo']['endCursor']}", "next")) == expected[4:]
    skipped = await ada.get("/tasks", params={"project_id": project["id"], "sort_by": "priority,-due_at", "skip": "7"})
    assert ids(skipped.json()) == expected[7:]


async def test_below_a_project_and_in_the_trash(ada: Person) -> None:
    project = await ada.project()
    made = await tasks(ada, project)
    expected = by_priority_and_date(made)
    variables: dict[str, Any] = {"id": project["node_id"], "order": ORDER["orderBy"], "then": ORDER["thenBy"]}
    found: list[int] = []
    more: Any = {"hasNextPage": True, "endCursor": None}
    while more["hasNextPage"]:
        page = (await ada.gql(NESTED, variables | {"after": more["endCursor"]})).data["project"]["tasks"]
        found += [edge["node"]["id"] for edge in page["edges"]]
        more = page["pageInfo"]
    assert found == expected
    for task in made:
        await ada.delete(f"/tasks/{task['id']}")
    start = f"/api/v1/tasks?project_id={project['id']}&trashed=true&sort_by=priority,-due_at&limit=5"
    assert flat(await walk_links(ada, start, "next")) == expected


async def test_a_few_statements_find_a_page(ada: Person, database: Database) -> None:
    project = await ada.project()
    await tasks(ada, project)
    for keys, most in (("due_at,title", 3), ("priority,due_at,-title", 7)):
        with StatementCounter(database) as statements:
            await ada.get(f"/tasks?project_id={project['id']}&sort_by={keys}&limit=2")
        assert sum("FROM" in text and "tasks" in text for text in statements.seen) <= most


@on_both_doors
async def test_a_saved_view_keeps_them(ada: Person, door: Door) -> None:
    project = await ada.project()
    expected = by_priority_and_date(await tasks(ada, project))
    order = {"sort_by": "priority", "order": "asc", "then_by": [{"field": "due_at", "direction": "desc"}]}
    body = {"name": "Next", "filter": {"project": {"eq": project["node_id"]}}} | order
    view = await ok(door, "create_saved_view", ada, body)
    assert {name: view[name] for name in order} == order
    place = {"saved_view_id": view["id"]}

    assert ids(await ok(door, "list_tasks", ada, view=view["id"])) == expected
    newest = await ok(door, "list_tasks", ada, view=view["id"], sort_by="id", order="desc")
    assert ids(newest) == sorted(expected, reverse=True)
    twice = {"then_by": [{"field": "priority"}]}
    for name, wrong in (
        ("update_saved_view", {"sort_by": "due_at"}),
        ("update_saved_view", twice),
        ("create_saved_view", body | twice),
    ):
        refused = await run(door, name, ada, wrong, **(place if name[0] == "u" else {}))
        assert (refused.code, len(refused.pointers)) == ("BAD_USER_INPUT", 1)
    changed = await ok(door, "update_saved_view", ada, {"then_by": []}, **place)
    assert (changed["sort_by"], changed["then_by"]) == ("priority", [])


class TestWhatDoesNotHold:
    @pytest.mark.parametrize(
        ("keys", "pointer"),
        [
            ({"sort_by": "title,-title"}, "/sort_by"),
            ({"sort_by": "title,number,id,priority"}, "/sort_by"),
            ({"sort_by": "title,"}, "/sort_by"),
            ({"sort_by": "title,colour"}, "/sort_by"),
            ({"sort_by": "title,number", "order": "asc"}, "/order"),
            ({"sort_by": "-title", "order": "desc"}, "/order"),
        ],
    )
    async def test_is_refused_by_name(self, ada: Person, keys: dict[str, str], pointer: str) -> None:
        answer = await ada.get("/tasks", params=keys)
        assert answer.status_code == 422
        assert [problem["pointer"] for problem in answer.json()["errors"]] == [pointer]

    @pytest.mark.parametrize("then", [["TITLE"], ["NUMBER", "ID", "PRIORITY"]])
    async def test_so_does_graphql(self, ada: Person, then: list[str]) -> None:
        page = await graphql_page(ada, orderBy={"field": "TITLE"}, thenBy=[{"field": name} for name in then])
        assert (page.code, page.pointers) == ("BAD_USER_INPUT", ["/thenBy"])
        alone = await graphql_page(ada, thenBy=[{"field": name} for name in then])
        assert (alone.code, alone.pointers) == ("BAD_USER_INPUT", ["/thenBy"])

    async def test_a_cursor_of_another_order(self, ada: Person) -> None:
        for _ in range(2):
            await ada.task()
        cursor = (await graphql_page(ada, first=1, **ORDER)).data["tasks"]["pageInfo"]["endCursor"]
        for keys in ("priority", "priority,due_at", "-due_at,priority"):
            answer = await ada.get("/tasks", params={"sort_by": keys, "cursor": cursor})
            assert answer.json()["detail"] == "/cursor: this cursor belongs to another order"


async def test_one_key_with_a_sign_descends(ada: Person) -> None:
    made = [(await ada.task(title=title))["id"] for title in "bca"]
    assert ids((await ada.get("/tasks?sort_by=-title")).json()) == [made[1], made[0], made[2]]
