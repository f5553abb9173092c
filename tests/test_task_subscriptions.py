"""Subscriptions to tasks, comments and projects, and REST's stream with the same filters: told with the follower's own
rights, once for all that comes together, and not a second longer than these rights last."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from db.driver.database import Database
from services import changes
from services.events import feed as feeds
from services.events.feed import Feed, one_by_one
from services.events.happenings import Happening
from services.events.interests import Interest
from services.events.numbering import number_all
from services.shared.outages import Outage
from tests.actors import Person
from tests.conftest import Servers
from tests.live import LiveServer
from tests.sockets import PATIENCE, initialised
from tests.statements import StatementCounter

ENDS_WITHIN = 1.0


@pytest.fixture(scope="module")
def servers(database_urls: dict[str, str]) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, database_urls)


@pytest.fixture
async def server(servers: Servers, backend: str, database: Database, ada: Person, bob: Person) -> LiveServer:
    await number_all(database)  # what has happened before, also to others, is not to be told
    return servers(backend)


class Heard:
    """What comes by a stream, in one shape: what was told, or the code that it ended with."""

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._source = source

    async def next(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await anext(self._source)

    async def quiet(self, seconds: float = 0.4) -> bool:
        """Whether nothing comes for a while. To be asked last: it ends the listening."""
        try:
            async with asyncio.timeout(seconds):
                await anext(self._source)
        except (TimeoutError, StopAsyncIteration):
            return True
        return False


@asynccontextmanager
async def socket(server: LiveServer, person: Person, query: str, variables: dict[str, Any]) -> AsyncIterator[Heard]:
    async with initialised(server, person) as open_socket:
        await open_socket.subscribe(query, variables)

        async def messages() -> AsyncIterator[Any]:
            while True:
                message = json.loads(await open_socket.connection.recv())
                if message["type"] == "error":
                    yield message["payload"][0]["extensions"]["code"]
                elif message["type"] == "next":
                    [told] = message["payload"]["data"].values()
                    yield told

        yield Heard(messages())


@asynccontextmanager
async def stream(
    server: LiveServer, person: Person, method: str, path: str, **options: Any
) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    headers = person.headers | options.pop("headers", {})
    async with (
        httpx.AsyncClient(base_url=server.base_url, timeout=PATIENCE) as client,
        client.stream(method, path, headers=headers, **options) as response,
    ):

        async def events() -> AsyncIterator[tuple[str, Any]]:
            if response.status_code >= 400:
                yield "error", json.loads(await response.aread())
                return
            kind = ""
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and value:
                    yield kind, json.loads(value)

        yield events()


@asynccontextmanager
async def graphql_stream(
    server: LiveServer, person: Person, query: str, variables: dict[str, Any]
) -> AsyncIterator[Heard]:
    body = {"query": query, "variables": variables}
    accept = {"Accept": "text/event-stream"}
    async with stream(server, person, "POST", "/graphql", json=body, headers=accept) as events:

        async def messages() -> AsyncIterator[Any]:
            async for _, data in events:
                if "errors" in data:
                    yield data["errors"][0]["extensions"]["code"]
                else:
                    [told] = data["data"].values()
                    yield told

        yield Heard(messages())


@asynccontextmanager
async def rest_stream(server: LiveServer, person: Person, **asked: Any) -> AsyncIterator[Heard]:
    async with stream(server, person, "GET", "/api/v1/events", params=asked) as events:

        async def messages() -> AsyncIterator[Any]:
            async for kind, data in events:
                yield data["code"] if kind == "error" else data

        yield Heard(messages())


WAYS = pytest.mark.parametrize("way", [socket, graphql_stream], ids=["socket", "stream"])
TASKS = """subscription($project: ID, $task: ID, $filter: TaskFilter, $after: String) {
    taskChanged(projectId: $project, taskId: $task, filter: $filter, after: $after) {
        cursor kind entityId fields task { title project { name } tags { name } createdBy { username } }
    }
}"""
COMMENTS = """subscription($task: ID, $after: String) {
    commentAdded(taskId: $task, after: $after) { cursor kind comment { body author { username } } task { title } }
}"""
PROJECTS = """subscription($after: String) {
    projectChanged(after: $after) { cursor kind entityId fields project { name archivedAt } }
}"""


async def now_of(database: Database) -> str:
    await number_all(database)
    return await changes.end(database.reads)


class TestTelling:
    @WAYS
    async def test_task_is_told_as_it_is(self, way: Any, server: LiveServer, ada: Person, database: Database) -> None:
        after = await now_of(database)
        async with way(server, ada, TASKS, {"after": after}) as heard:
            task = await ada.task(title="New", tags=["red"])
            first = await heard.next()
            await ada.patch(f"/tasks/{task['id']}", {"title": "Newer"})
            second = await heard.next()
            await ada.comment(task["id"])
            await ada.delete(f"/tasks/{task['id']}")
            last = await heard.next()

        assert (first["kind"], first["task"]["tags"], first["entityId"]) == (
            "task.created",
            [{"name": "red"}],
            task["id"],
        )
        assert (second["fields"], second["task"]["title"]) == (["title"], "Newer")
        assert second["task"]["createdBy"] == {"username": ada.username}
        assert (last["kind"], last["task"]) == ("task.deleted", None)

    @WAYS
    async def test_comments_and_projects(self, way: Any, server: LiveServer, ada: Person, database: Database) -> None:
        task = await ada.task(title="Here")
        after = await now_of(database)
        async with (
            way(server, ada, COMMENTS, {"after": after}) as comments,
            way(server, ada, PROJECTS, {"after": after}) as projects,
        ):
            await ada.comment(task["id"])
            told = await comments.next()
            assert (told["kind"], told["task"]) == ("comment.created", {"title": "Here"})
            assert told["comment"]["author"] == {"username": ada.username}
            project = await ada.project()
            created = await projects.next()
            assert (created["kind"], created["entityId"]) == ("project.created", project["id"])
            await ada.patch(f"/projects/{project['id']}", {"archived": True})
            archived = await projects.next()
            while archived["kind"] != "project.updated":
                archived = await projects.next()
            assert archived["project"]["archivedAt"] is not None

    async def test_filter_chooses_on_all_ways_alike(self, server: LiveServer, ada: Person, database: Database) -> None:
        project, after = await ada.project(), await now_of(database)
        condition = {"priority": {"gte": 4}}
        given = {"project": project["node_id"], "filter": condition, "after": after}
        async with (
            socket(server, ada, TASKS, given) as one,
            graphql_stream(server, ada, TASKS, given) as two,
            rest_stream(
                server, ada, project_id=project["id"], filter=json.dumps(condition), after=after, include="task"
            ) as three,
        ):
            await ada.task(project_id=project["id"], priority=1, title="No")
            await ada.task(priority=5, title="Elsewhere")
            wanted = await ada.task(project_id=project["id"], priority=5, title="Yes")
            heard = [await way.next() for way in (one, two, three)]

        assert [told["task"]["title"] for told in heard] == ["Yes"] * 3
        assert [told["cursor"] for told in heard] == [heard[0]["cursor"]] * 3
        assert heard[2]["entity_id"] == wanted["id"]

    async def test_goes_on_from_a_cursor(self, server: LiveServer, ada: Person, database: Database) -> None:
        after = await now_of(database)
        tasks = [await ada.task() for _ in range(5)]
        async with socket(server, ada, TASKS, {"after": after}) as heard:
            first = [await heard.next() for _ in range(2)]
        async with socket(server, ada, TASKS, {"after": first[-1]["cursor"]}) as heard:
            rest = [await heard.next() for _ in range(3)]

        assert [told["entityId"] for told in first + rest] == [task["id"] for task in tasks]

    @pytest.mark.parametrize(
        ("asked", "code"),
        [
            ({"project": "x"}, "BAD_USER_INPUT"),
            ({"after": "x"}, "BAD_USER_INPUT"),
            ({"filter": {"and": []}}, "BAD_USER_INPUT"),
        ],
        ids=str,
    )
    async def test_what_does_not_hold_is_refused(
        self, server: LiveServer, ada: Person, asked: dict[str, Any], code: str
    ) -> None:
        async with socket(server, ada, TASKS, asked) as heard:
            assert await heard.next() == code

    async def test_what_comes_together_is_read_together(
        self, server: LiveServer, ada: Person, database: Database
    ) -> None:
        """Statements are of the shape of what is selected, however many changes are told; and it is compiled."""
        numbers = []
        for more in (3, 30):
            after = await now_of(database)
            for number in range(more):
                await ada.task(tags=[f"t{number}"])
            await number_all(database)
            executed = server.state.executor.executed["compiled"]
            with StatementCounter(server.state.database) as statements:
                async with socket(server, ada, TASKS, {"after": after}) as heard:
                    for _ in range(more):
                        await heard.next()
                    await asyncio.sleep(0.3)
            assert server.state.executor.executed["compiled"] - executed == more
            numbers.append(len([sql for sql in statements.seen if "task_tags" in sql or "FROM tasks" in sql]))

        assert numbers[0] == numbers[1]


class TestRights:
    async def test_nothing_of_others_is_told(
        self, server: LiveServer, ada: Person, bob: Person, database: Database
    ) -> None:
        project = await bob.project()
        async with socket(server, ada, TASKS, {"project": project["node_id"]}) as heard:
            assert await heard.next() == "NOT_FOUND"
        async with rest_stream(server, ada, project_id=project["id"]) as heard:
            assert await heard.next() == "NOT_FOUND"
        async with socket(server, ada, TASKS, {"after": await now_of(database)}) as heard:
            await bob.task()
            assert await heard.quiet()

    @pytest.mark.parametrize("how", ["socket", "stream", "rest"])
    async def test_who_leaves_hears_no_more_within_a_second(
        self, how: str, server: LiveServer, ada: Person, bob: Person, database: Database
    ) -> None:
        project = await ada.project()
        await ada.post(f"/projects/{project['id']}/members", {"username": bob.username, "role": "member"})
        task, after = await ada.task(project_id=project["id"]), await now_of(database)
        of_task = {"task": task["node_id"], "after": after}
        ways = {
            "socket": lambda: socket(server, bob, TASKS, of_task),
            "stream": lambda: graphql_stream(server, bob, TASKS, of_task),
            "rest": lambda: rest_stream(server, bob, task_id=task["id"], kind="task.updated", after=after),
        }
        async with ways[how]() as heard:
            await ada.patch(f"/tasks/{task['id']}", {"title": "Told"})
            assert (await heard.next())["kind"] == "task.updated"
            began = time.monotonic()
            await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
            await ada.patch(f"/tasks/{task['id']}", {"title": "Secret"})

            assert await heard.next() == "NOT_FOUND"
            assert time.monotonic() - began < ENDS_WITHIN
            assert await heard.quiet()

    async def test_who_leaves_hears_of_other_projects_still(
        self, server: LiveServer, ada: Person, bob: Person, database: Database
    ) -> None:
        project = await ada.project()
        await ada.post(f"/projects/{project['id']}/members", {"username": bob.username, "role": "member"})
        async with socket(server, bob, TASKS, {"after": await now_of(database)}) as heard:
            await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
            await ada.task(project_id=project["id"])
            own = await bob.task()
            assert (await heard.next())["entityId"] == own["id"]

    async def test_who_reads_slowly_is_not_told_of_what_it_may_not_read_any_more(
        self, ada: Person, bob: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What waited is judged anew when it is taken, and what was taken is once more before it is told."""
        monkeypatch.setattr(feeds, "FRESH_SECONDS", 0.05)
        monkeypatch.setattr(feeds, "TAKEN", 3)
        await number_all(database)
        project = await ada.project()
        await ada.post(f"/projects/{project['id']}/members", {"username": bob.username, "role": "member"})
        shared, kinds = Feed(database), Interest(frozenset({"task.created"}))

        async def themselves(items: Any) -> Any:
            return items

        async with shared.joined(kinds, reader=bob.id) as follower:
            for _ in range(3):
                await ada.task(project_id=project["id"])
            own = [await bob.task()]
            for _ in range(2):
                await ada.task(project_id=project["id"])
            own.append(await bob.task())
            await number_all(database)
            await asyncio.sleep(0.5)
            heard: list[Happening] = []
            async for item in one_by_one(await follower.take(), themselves):
                heard.append(item)
                if len(heard) == 1:
                    await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
                    await asyncio.sleep(0.1)
            assert len(heard) == 1
            heard.clear()
            while len(heard) < 2:
                async with asyncio.timeout(PATIENCE):
                    heard += (await follower.take()).items
        await shared.stop()

        assert [item.entity_id for item in heard] == [task["id"] for task in own]


class TestOutages:
    def test_one_line_as_it_begins_and_one_as_it_ends(self, caplog: pytest.LogCaptureFixture) -> None:
        outage = Outage(logging.getLogger("outages"), "nothing could be done")
        away = OperationalError("SELECT 1", {}, Exception("server closed the connection"), connection_invalidated=True)
        for _ in range(20):
            outage.failed(away)
        outage.succeeded()
        outage.succeeded()

        begun, ended = [record.getMessage() for record in caplog.records]
        assert begun.startswith("nothing could be done; trying again: ")
        assert ended.startswith("nothing could be done; over after ")

    def test_defect_is_shown_with_where_it_was(self, caplog: pytest.LogCaptureFixture) -> None:
        outage = Outage(logging.getLogger("outages"), "nothing could be done")
        outage.failed(KeyError("x"))
        outage.failed(KeyError("y"))
        outage.failed(ValueError("z"))

        assert [record.exc_info is not None for record in caplog.records] == [True, True]
