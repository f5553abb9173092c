"""A cursor belongs to one order of one list: any other says so, by the same sentence whatever the types of the keys."""

from datetime import UTC, datetime
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from services import api_keys, comments, members, relations, saved_views, sessions
from services.events import log
from services.projects import queries as projects
from services.shared.errors import BadUserInput
from services.shared.pagination import Ordering, decode_cursor, encode_cursor
from services.tasks.query import SORT_KEYS, Direction, TaskQuery, TaskSort, parse_keys
from services.users import queries as users
from tests.actors import Person
from tests.listings import graphql_page
from tests.test_task_lists import forged

TASKS = [Ordering(key, descending) for key in SORT_KEYS.values() for descending in (False, True)]
OTHERS = [
    api_keys.NEWEST_FIRST,
    comments.OLDEST_FIRST,
    comments.NEWEST_FIRST,
    log.NEWEST_FIRST,
    members.OLDEST_FIRST,
    projects.OLDEST_FIRST,
    relations.OLDEST_FIRST,
    saved_views.OLDEST_FIRST,
    sessions.NEWEST_FIRST,
    users.OLDEST_FIRST,
]
VALUES: dict[str, Any] = {"timestamp": datetime(2026, 1, 31, 12, tzinfo=UTC), "integer": 3, "text": "A title"}


def row(ordering: Ordering, *, missing: bool = False) -> Any:
    value = None if missing else VALUES[ordering.key.kind]
    return SimpleNamespace(**{"id": 7, ordering.key.column.key: 7 if ordering.key.name == "id" else value})


def refusal(ordering: Ordering, cursor: str) -> str:
    with pytest.raises(BadUserInput) as refused:
        decode_cursor(ordering, cursor, pointer="/after")
    [problem] = refused.value.errors
    assert (problem.pointer, problem.type) == ("/after", "cursor")
    return problem.detail


class TestEveryOrder:
    def test_takes_its_own_cursors(self) -> None:
        for ordering in TASKS + OTHERS:
            position = decode_cursor(ordering, encode_cursor(ordering, row(ordering)), pointer="/after")
            assert position == (getattr(row(ordering), ordering.key.column.key), 7)

    def test_says_that_a_cursor_is_of_another(self) -> None:
        for made, used in permutations(TASKS + OTHERS, 2):
            wanted = "list" if made.list_name != used.list_name else "order"
            for missing in {False, made.key.nullable}:
                cursor = encode_cursor(made, row(made, missing=missing))
                assert refusal(used, cursor) == f"this cursor belongs to another {wanted}", (made, used)

    def test_says_so_of_one_that_does_not_name_its_list(self) -> None:
        """As releases up to d36c06b made them."""
        for made, used in permutations(TASKS, 2):
            cursor = forged(made.signature, getattr(row(made), made.key.column.key), 7)
            assert refusal(used, cursor) == "this cursor belongs to another order", (made, used)

    def test_takes_its_own_that_do_not_name_their_list(self) -> None:
        for ordering in TASKS + OTHERS:
            value = getattr(row(ordering), ordering.key.column.key)
            assert decode_cursor(ordering, forged(ordering.signature, value, 7), pointer="/after") == (value, 7)

    @pytest.mark.parametrize(
        "parts", [(1, 2, 3), (None, 1, 1), (["-id"], 1, 1), ("-id", 1, 1, 5), ("-id", 1, 1, "tasks", 1)]
    )
    def test_knows_what_no_server_made(self, parts: tuple[Any, ...]) -> None:
        ordering = Ordering(SORT_KEYS[TaskSort.ID], descending=True)
        assert refusal(ordering, forged(*parts)) == "not a cursor of this server"


class TestSeveralKeys:
    ORDERING = TaskQuery(None, TaskSort.PRIORITY, Direction.ASC, then_by=parse_keys("-due_at")).ordering

    def test_has_a_value_for_each(self) -> None:
        due = VALUES["timestamp"]
        for value in (due, None):
            cursor = encode_cursor(self.ORDERING, SimpleNamespace(id=7, priority=3, due_at=value))
            assert decode_cursor(self.ORDERING, cursor, pointer="/after") == ((3, value), 7)
            assert refusal(Ordering(SORT_KEYS[TaskSort.PRIORITY], False), cursor).endswith("another order")

    @pytest.mark.parametrize("value", [3, [3], [3, None, None], [None, None], [3, "soon"], ["3", None], None, {}])
    def test_knows_what_no_server_made(self, value: Any) -> None:
        assert refusal(self.ORDERING, forged("priority,-due_at", value, 7)) == "not a cursor of this server"


class TestOnTheDoors:
    async def test_a_cursor_of_another_order_says_so_for_all_types_of_keys(self, ada: Person) -> None:
        for title in "ab":
            await ada.task(title=title)
        by_title = await graphql_page(ada, first=1, orderBy={"field": "TITLE", "direction": "ASC"})
        cursor = by_title.data["tasks"]["pageInfo"]["endCursor"]
        for sort, order in ((sort, order) for sort in TaskSort for order in Direction):
            if (sort, order) == (TaskSort.TITLE, Direction.ASC):
                continue
            rest = await ada.get("/tasks", params={"sort_by": sort, "order": order, "cursor": cursor})
            graphql = await graphql_page(ada, after=cursor, orderBy={"field": sort.upper(), "direction": order.upper()})

            assert (rest.status_code, graphql.code) == (422, "BAD_USER_INPUT")
            assert rest.json()["detail"] == "/cursor: this cursor belongs to another order"
            assert graphql.errors[0]["message"] == "/after: this cursor belongs to another order"

    async def test_a_cursor_of_another_list_says_so(self, ada: Person) -> None:
        project = await ada.project()
        first = await ada.get("/projects?limit=1")
        cursor = first.headers["link"].split("cursor=")[1].split(">")[0]
        assert first.headers["x-next-cursor"] == cursor

        rest = await ada.get(f"/projects/{project['id']}/members", params={"cursor": cursor})
        document = (
            "query($id: ID!, $after: String) { project(id: $id) { members(after: $after) { edges { cursor } } } }"
        )
        graphql = await ada.gql(document, {"id": project["node_id"], "after": cursor})

        assert (rest.status_code, graphql.code) == (422, "BAD_USER_INPUT")
        assert rest.json()["detail"] == "/cursor: this cursor belongs to another list"
        assert graphql.errors[0]["message"] == "/after: this cursor belongs to another list"
