"""Lists of tasks: orders, pages, cursors that work on both doors, counts and what is read along."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import chain
from typing import Any
from zlib import crc32

import orjson
import pytest

from db.driver.database import Database
from services.projects import queries as projects
from services.tasks.creation import create_drafts
from services.tasks.models import TaskDraft
from services.tasks.query import TaskSort
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.listings import graphql_ids, graphql_page, ids, links, rest_ids, walk_connection, walk_links

SORTS = [sort.value for sort in TaskSort]
ORDERS = ["asc", "desc"]
every_order = pytest.mark.parametrize(("sort", "order"), [(sort, order) for sort in SORTS for order in ORDERS])


async def fill(ada: Person, database: Database, count: int) -> list[dict[str, Any]]:
    """Tasks with ties and missing values in every field that lists are sorted by; one transaction, so also in time."""
    project = await ada.project()
    titles = ["b", "B", "ä", "a", "z", "aa", "☃", "é"]
    drafts = [
        TaskDraft.model_validate(
            {
                "title": titles[n % len(titles)],
                "priority": n % 3 + 1,
                "status": ["pending", "completed", "in_progress"][n % 3],
                "start_at": [None, "2026-01-01T00:00:00Z", "2025-01-01T00:00:00.5Z"][n % 3],
                "due_at": [None, "2027-01-01T00:00:00Z", None, "2028-01-01T00:00:00+02:00"][n % 4],
            }
        )
        for n in range(count - 3)
    ]
    async with database.writing() as session:
        record = await projects.get(session, ada.actor, project["id"])
        await create_drafts(session, ada.actor, record, drafts, pointer="")
    for _ in range(3):
        await ada.task(title="b")
    return list((await ada.get("/tasks?limit=100&sort_by=id&order=asc")).json())


def in_order(tasks: list[dict[str, Any]], sort: str, order: str) -> list[int]:
    """The ids as a list has to have them: nulls last in both directions, ties by id in the list's direction."""
    there = sorted((task for task in tasks if task[sort] is not None), key=lambda task: (task[sort], task["id"]))
    missing = sorted((task for task in tasks if task[sort] is None), key=lambda task: task["id"])
    if order == "desc":
        there, missing = there[::-1], missing[::-1]
    return ids([*there, *missing])


def order_by(sort: str, order: str) -> dict[str, str]:
    return {"field": sort.upper(), "direction": order.upper()}


def flat(pages: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(pages))


class TestWalks:
    @every_order
    async def test_every_walk_sees_each_row_once_in_the_order_of_one_big_page(
        self, ada: Person, database: Database, sort: str, order: str
    ) -> None:
        expected = in_order(await fill(ada, database, 19), sort, order)
        path = f"/api/v1/tasks?sort_by={sort}&order={order}"
        arguments: dict[str, Any] = {"orderBy": order_by(sort, order)}

        assert await rest_ids(ada, sort_by=sort, order=order, limit=100) == expected
        assert await graphql_ids(ada, first=100, **arguments) == expected
        forwards = await walk_links(ada, f"{path}&limit=4", "next")
        assert [len(page) for page in forwards] == [4, 4, 4, 4, 3]
        assert flat(forwards) == expected
        last = await ada.get(f"/tasks?sort_by={sort}&order={order}&limit=4&skip=15")
        backwards = await walk_links(ada, links(last)["prev"], "prev")
        assert flat(backwards[::-1]) + ids(last.json()) == expected
        assert flat(await walk_connection(ada, size=4, **arguments)) == expected
        assert flat((await walk_connection(ada, backwards=True, size=4, **arguments))[::-1]) == expected

    @every_order
    async def test_cursors_are_good_on_the_other_door(
        self, ada: Person, database: Database, sort: str, order: str
    ) -> None:
        expected = in_order(await fill(ada, database, 9), sort, order)
        connection = (await graphql_page(ada, first=100, orderBy=order_by(sort, order))).data["tasks"]
        for place, edge in enumerate(connection["edges"]):
            answer = await ada.get(
                "/tasks", params={"sort_by": sort, "order": order, "cursor": edge["cursor"], "limit": 2}
            )
            assert ids(answer.json()) == expected[place + 1 : place + 3]
            if "next" not in links(answer):
                continue
            cursor = links(answer)["next"].partition("cursor=")[2]
            # the Link header's cursor is the edge's
            assert cursor == connection["edges"][place + 2]["cursor"]
            before = await graphql_ids(ada, last=2, before=cursor, orderBy=order_by(sort, order))
            assert before == expected[place : place + 2]

    @on_both_doors
    async def test_walk_is_steady_while_rows_come_and_go(self, ada: Person, database: Database, door: Door) -> None:
        tasks = await fill(ada, database, 15)
        expected = in_order(tasks, "priority", "desc")
        gone = {expected[4], expected[5], expected[9]}
        seen: list[int] = []
        cursor: str | None = None
        for step in range(20):
            if door == "rest":
                chosen = {"cursor": cursor} if cursor else {}
                answer = await ada.get("/tasks", params={"sort_by": "priority", "limit": "3", **chosen})
                seen += ids(answer.json())
                cursor = links(answer).get("next", "").partition("cursor=")[2]
            else:
                arguments = {"orderBy": order_by("priority", "desc"), "first": 3, "after": cursor}
                connection = (await graphql_page(ada, **arguments)).data["tasks"]
                seen += [edge["node"]["id"] for edge in connection["edges"]]
                cursor = connection["pageInfo"]["endCursor"] if connection["pageInfo"]["hasNextPage"] else None
            if step == 1:  # the row that the cursor points at, one that was seen, one that is still to come
                await asyncio.gather(*(ada.delete(f"/tasks/{task_id}") for task_id in gone))
            for priority in (1, 5):
                await ada.task(priority=priority, title=f"New {step}")
            if not cursor or step > 12:
                break

        untouched = [task_id for task_id in expected if task_id not in gone]
        assert [task_id for task_id in seen if task_id in untouched] == untouched
        assert len(seen) == len(set(seen))


class TestRest:
    async def test_list_is_a_plain_array_newest_first(self, ada: Person) -> None:
        tasks = [await ada.task(title=title) for title in ("one", "two", "three")]
        answer = await ada.get("/tasks")

        assert answer.json() == tasks[::-1]
        assert answer.headers["link"] == '</api/v1/tasks>; rel="first"'

    async def test_links_keep_what_was_asked(self, ada: Person) -> None:
        for title in ("A & b", "a & B", "a & b"):
            await ada.task(title=title)
        middle = await ada.get("/tasks?search=a+%26+b&limit=1&skip=1&priority=1&priority=2")
        found = links(middle)

        assert found["first"] == "/api/v1/tasks?search=a+%26+b&limit=1&priority=1&priority=2"
        assert set(found) == {"first", "prev", "next"}
        for rel, title in (("prev", "a & b"), ("next", "A & b"), ("first", "a & b")):
            answer = await ada.client.get(found[rel], headers=ada.headers)
            assert [task["title"] for task in answer.json()] == [title]
        assert "skip" not in found["next"]

    async def test_alias_without_a_version_links_to_itself(self, ada: Person) -> None:
        await ada.task()
        await ada.task()
        answer = await ada.get("//tasks?limit=1")

        assert links(answer)["next"].startswith("/tasks?limit=1&cursor=")
        assert await walk_links(ada, "/tasks?limit=1", "next") == [
            [answer.json()[0]["id"]],
            [answer.json()[0]["id"] - 1],
        ]

    async def test_skip_and_limit_cut_the_list(self, ada: Person) -> None:
        made = [(await ada.task())["id"] for _ in range(5)][::-1]

        assert await rest_ids(ada, skip=0, limit=2) == made[:2]
        assert await rest_ids(ada, skip=3, limit=100) == made[3:]
        beyond = await ada.get("/tasks?skip=5")
        assert (beyond.json(), set(links(beyond))) == ([], {"first"})
        assert (await ada.get("/tasks?skip=1000000")).json() == []

    async def test_twenty_rows_unless_asked_otherwise(self, ada: Person, database: Database) -> None:
        await fill(ada, database, 22)

        assert len(await rest_ids(ada)) == len(await graphql_ids(ada)) == 20

    async def test_total_is_counted_only_when_asked(self, ada: Person, database: Database) -> None:
        await fill(ada, database, 10)
        plain, total = await ada.get("/tasks?limit=2"), await ada.get("/tasks?limit=2&total=true")
        some = await ada.get("/tasks?limit=1&skip=1&total=true&priority=3")

        assert "x-total-count" not in plain.headers
        assert total.headers["x-total-count"] == "10"
        assert some.headers["x-total-count"] == str(len(await rest_ids(ada, priority=3)))

    async def test_cursor_and_skip_exclude_each_other(self, ada: Person) -> None:
        await ada.task()
        await ada.task()
        following = links(await ada.get("/tasks?limit=1"))["next"].removeprefix("/api/v1")
        refused = await ada.get(f"{following}&skip=1")

        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/skip")


class TestGraphQL:
    async def test_page_info_says_where_the_page_lies(self, ada: Person, database: Database) -> None:
        await fill(ada, database, 5)

        async def info(**arguments: Any) -> tuple[bool, bool]:
            page = (await graphql_page(ada, **arguments)).data["tasks"]
            cursors = [edge["cursor"] for edge in page["edges"]] or [None]
            assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == (cursors[0], cursors[-1])
            return page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]

        cursor = (await graphql_page(ada, first=2)).data["tasks"]["pageInfo"]["endCursor"]
        assert await info(first=2) == (False, True)
        assert await info(first=2, after=cursor) == (True, True)
        assert await info(first=3, after=cursor) == (True, False)
        assert await info(last=2) == (True, False)
        assert await info(last=5) == (False, False)
        assert await info(last=1, before=cursor) == (False, True)
        assert await info(first=0) == (False, True)

    async def test_total_count_is_of_all_that_match(self, ada: Person, database: Database) -> None:
        await fill(ada, database, 10)
        answer = await ada.gql(
            "{ all: tasks(first: 1) { totalCount } some: tasks(first: 1, filter: {priority: {eq: 3}}) { totalCount } "
            "trash: tasks(trashed: true) { totalCount } }"
        )

        assert answer.data == {
            "all": {"totalCount": 10},
            "some": {"totalCount": len(await rest_ids(ada, priority=3))},
            "trash": {"totalCount": 0},
        }

    @pytest.mark.parametrize(
        ("arguments", "pointer"),
        [
            ({"first": -1}, "/first"),
            ({"first": 101}, "/first"),
            ({"last": 101}, "/last"),
            ({"last": -1}, "/last"),
            ({"first": 1, "last": 1}, "/last"),
            ({"after": "x", "before": "x"}, "/before"),
            ({"last": 1, "after": "x"}, "/after"),
            ({"first": 1, "before": "x"}, "/before"),
        ],
    )
    async def test_arguments_that_do_not_go_together_are_refused(
        self, ada: Person, arguments: dict[str, Any], pointer: str
    ) -> None:
        refused = await graphql_page(ada, **arguments)

        assert (refused.code, refused.pointers) == ("BAD_USER_INPUT", [pointer])


def forged(*parts: Any) -> str:
    """A cursor with a good checksum that the server never made."""
    payload = orjson.dumps(parts[0] if len(parts) == 1 else parts)
    return urlsafe_b64encode(crc32(payload).to_bytes(4, "big") + payload).decode().rstrip("=")


FORGED: list[tuple[Any, ...]] = [
    ("priority", "-priority", 10**15, 1),
    ("priority", "-priority", -(2**63), 1),
    ("priority", "-priority", True, 1),
    ("priority", "-priority", 1.5, 1),
    ("priority", "-priority", None, 1),
    ("priority", "-priority", 1, 0),
    ("priority", "-priority", 1, 2**31),
    ("priority", "-priority", 1, True),
    ("priority", "-priority", 1),
    ("priority", "-priority", 1, 1, 1),
    ("priority", {"-priority": 1, "1": 2, "3": 4}),
    ("priority", "-priority"),
    ("title", "-title", "\x00", 1),
    ("title", "-title", 1, 1),
    ("created_at", "-created_at", "0001-01-01T00:00:00+01:00", 1),
    ("created_at", "-created_at", "9999-12-31T23:59:59-01:00", 1),
    ("created_at", "-created_at", "2026-01-01T00:00:00", 1),
    ("created_at", "-created_at", "yesterday", 1),
    ("created_at", "-created_at", 5, 1),
    ("due_at", "-created_at", None, 1),
    ("due_at", "due_at", None, 1),
    ("id", "-id", 2**31, 1),
]


class TestBadCursors:
    async def refused(self, ada: Person, cursor: str, sort: str = "created_at") -> None:
        """The cursor is refused on both doors, in every place that takes one."""
        order = order_by(sort, "desc")
        for given in (cursor, f"prev.{cursor}"):
            rest = await ada.get("/tasks", params={"sort_by": sort, "cursor": given})
            assert (rest.status_code, rest.json()["code"]) == (422, "BAD_USER_INPUT"), given
            assert rest.json()["errors"][0]["pointer"] == "/cursor"
        for argument in ("after", "before"):
            graphql = await graphql_page(ada, orderBy=order, **{argument: cursor})
            assert (graphql.code, graphql.pointers) == ("BAD_USER_INPUT", [f"/{argument}"]), cursor

    async def test_damaged_cursor_is_refused(self, ada: Person) -> None:
        await ada.task()
        cursor = (await graphql_page(ada)).data["tasks"]["pageInfo"]["endCursor"]
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        damaged = [
            cursor[:-1],
            cursor + "==",
            f"{cursor}!!!!",
            cursor[1:],
            cursor + "!",
            cursor + "A",
            f" {cursor}",
            cursor[:10] + ("A" if cursor[10] != "A" else "B") + cursor[11:],
            urlsafe_b64encode(raw[:-1] + b" ").decode(),
            urlsafe_b64encode(bytes(4) + raw[4:]).decode(),
            "x",
            "é",
            "\x00",
            "prev.",
        ]
        for value in damaged:
            await self.refused(ada, value)

    async def test_forged_cursor_is_refused(self, ada: Person, subtests: pytest.Subtests) -> None:
        await ada.task()
        for sort, *parts in FORGED:
            with subtests.test(sort=sort, parts=parts):
                await self.refused(ada, forged(*parts), sort)

    async def test_made_up_cursor_that_fits_grants_nothing(self, ada: Person, bob: Person) -> None:
        task = await ada.task()
        await bob.task()
        for priority, row_id in ((40_000, 1), (5, 2**31 - 1), (1, task["id"] + 1)):
            cursor = forged("-priority", priority, row_id)
            assert await rest_ids(ada, sort_by="priority", cursor=cursor) == [task["id"]]

    async def test_cursor_of_another_order_is_refused(self, ada: Person) -> None:
        await ada.task()
        cursor = (await graphql_page(ada, orderBy=order_by("priority", "asc"))).data["tasks"]["pageInfo"]["endCursor"]

        await self.refused(ada, cursor, "priority")
        await self.refused(ada, cursor, "title")


class TestExpand:
    async def test_relations_are_read_along_only_when_asked(self, ada: Person, bob: Person) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        parent = await ada.task(project_id=project["id"])
        task = await ada.task(
            project_id=project["id"], parent_id=parent["id"], tags=["b", "A"], assignee_ids=[bob.id, ada.id]
        )
        comments = [await (ada, bob)[n % 2].comment(task["id"], f"Comment {n}") for n in range(5)]
        me, them = (dict[str, Any](id=p.id, node_id=p.node_id, username=p.username, full_name=None) for p in (ada, bob))
        tags = (await ada.get(f"/projects/{project['id']}/tags")).json()
        relations = {
            "project": project,
            "assignees": sorted([me, them], key=lambda person: person["id"]),
            "tags": tags,
            "created_by": me,
            "parent": parent,
            "comment_count": 5,
            "comments": [comment | {"author": (me, them)[n % 2]} for n, comment in enumerate(comments[:3])],
        }
        for path in ("/tasks", f"/tasks/{task['id']}", f"/tasks/by-ref/{task['ref']}"):
            for names in [[], *([name] for name in relations), list(relations)]:
                answer = (await ada.get(path, params={"expand": names})).json()
                read = answer[0] if path == "/tasks" else answer
                assert read == task | {name: relations[name] for name in names}

    async def test_what_is_not_there_is_null_or_empty(self, ada: Person) -> None:
        task = await ada.task()
        names = ["assignees", "tags", "parent", "comment_count", "comments"]
        [read] = (await ada.get("/tasks", params={"expand": names})).json()

        assert read == task | {"assignees": [], "tags": [], "parent": None, "comment_count": 0, "comments": []}
