"""The feed of changes: everything the caller may be told of, in one order, on both doors; and access is part of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from websockets.exceptions import ConnectionClosed

from db.driver.database import Database
from db.models import Event
from services import changes
from services.events.numbering import number_all
from tests.actors import Anonymous, Person
from tests.conftest import Servers
from tests.doors import Door
from tests.live import LiveServer
from tests.sockets import PATIENCE, initialised

CHANGES = """query($after: String, $limit: Int) { changes(after: $after, first: $limit) {
    cursor has_more: hasMore changes { cursor event_id: eventId kind entity_type: entityType entity_id: entityId
    entity_version: entityVersion task_id: taskId project_id: projectId actor_id: actorId occurred_at: occurredAt fields
} } }"""


async def read(person: Person, door: Door, after: str | None = None, limit: int = 100) -> Any:
    """A page of the feed, in REST's spelling."""
    if door == "rest":
        answer = await person.get("/changes", params={"limit": limit} | ({} if after is None else {"after": after}))
        assert answer.status_code == 200, answer.text
        return answer.json()
    return (await person.gql(CHANGES, {"after": after, "limit": limit})).data["changes"]


async def code(person: Person, door: Door, after: str, limit: int = 100) -> str:
    """What a page is refused with."""
    if door == "rest":
        return str((await person.get("/changes", params={"after": after, "limit": limit})).json()["code"])
    return (await person.gql(CHANGES, {"after": after, "limit": limit})).code


@pytest.fixture(params=["rest", "graphql"])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


class Reader:
    """Reads on from where it is."""

    def __init__(self, person: Person, door: Door, database: Database, cursor: str) -> None:
        self.person, self.door, self._database, self.cursor = person, door, database, cursor

    async def hear(self, limit: int = 100) -> list[dict[str, Any]]:
        """All that has come since."""
        await number_all(self._database)
        found: list[dict[str, Any]] = []
        while True:
            page = await read(self.person, self.door, self.cursor, limit)
            found += page["changes"]
            self.cursor = page["cursor"]
            if not page["has_more"]:
                return found

    async def kinds(self) -> list[str]:
        return [item["kind"] for item in await self.hear()]


async def reader_of(person: Person, door: Door, database: Database) -> Reader:
    """A reader of what comes from now on."""
    await number_all(database)
    return Reader(person, door, database, (await read(person, door, "now"))["cursor"])


class TestReading:
    async def test_what_happens_is_told_once_in_order_and_thin(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        reader = await reader_of(ada, door, database)
        task = await ada.task(tags=["a"])
        await ada.patch(f"/tasks/{task['id']}", {"title": "Another", "priority": 2})
        await ada.post(f"/tasks/{task['id']}/comments", {"body": "A secret of ours"})
        await ada.delete(f"/tasks/{task['id']}")

        heard = await reader.hear()

        assert [item["kind"] for item in heard if item["entity_type"] != "tag"] == [
            "task.created",
            "task.updated",
            "comment.created",
            "task.deleted",
        ]
        changed = next(item for item in heard if item["kind"] == "task.updated")
        assert changed["fields"] == ["priority", "title"]
        assert (changed["entity_id"], changed["entity_version"], changed["actor_id"]) == (task["id"], 2, ada.id)
        assert (changed["task_id"], changed["project_id"]) == (task["id"], task["project_id"])
        assert "secret" not in json.dumps(heard)
        assert len({item["event_id"] for item in heard}) == len(heard)
        assert await reader.hear() == []

    async def test_both_doors_tell_the_same(self, ada: Person, database: Database) -> None:
        start = (await reader_of(ada, "rest", database)).cursor
        project = await ada.project()
        await ada.task(project_id=project["id"])
        await number_all(database)

        assert await read(ada, "rest", start) == await read(ada, "graphql", start)

    async def test_pages_of_any_size_tell_all_of_it(self, ada: Person, door: Door, database: Database) -> None:
        start = (await reader_of(ada, door, database)).cursor
        for _ in range(5):
            await ada.task()
        whole = await Reader(ada, door, database, start).hear()

        assert len(whole) == 5
        for limit in (1, 2, 5):
            assert await Reader(ada, door, database, start).hear(limit) == whole
        assert await Reader(ada, door, database, whole[2]["cursor"]).hear() == whole[3:]

    async def test_a_page_of_none_stays_where_it_is(self, ada: Person, door: Door, database: Database) -> None:
        start = (await reader_of(ada, door, database)).cursor
        await ada.task()
        await number_all(database)

        page = await read(ada, door, start, 0)

        assert page == {"changes": [], "cursor": start, "has_more": True}

    async def test_beginning_is_before_all(self, ada: Person, door: Door, database: Database) -> None:
        task = await ada.task()
        heard = await Reader(ada, door, database, "0").hear()

        assert ("task.created", task["id"]) in [(item["kind"], item["entity_id"]) for item in heard]
        assert await read(ada, door, None, 1) == await read(ada, door, "0", 1)

    async def test_what_others_do_is_looked_through_a_bounded_piece_at_a_time(
        self, ada: Person, bob: Person, door: Door, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(changes, "SCAN", 3)
        reader = await reader_of(ada, door, database)
        for _ in range(4):
            await bob.task()
        await ada.task()
        await number_all(database)

        first = await read(ada, door, reader.cursor)

        assert (first["changes"], first["has_more"]) == ([], True)
        assert await reader.kinds() == ["task.created"]


class TestAccess:
    async def test_who_joins_is_told_and_hears_from_then_on(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        reader = await reader_of(bob, door, database)
        await ada.task(project_id=project["id"])
        assert await reader.kinds() == []

        await ada.post(f"/projects/{project['id']}/members", {"username": bob.username, "role": "viewer"})
        await ada.task(project_id=project["id"])

        heard = await reader.hear()
        assert [item["kind"] for item in heard] == ["member.added", "task.created"]
        assert (heard[0]["entity_id"], heard[0]["project_id"]) == (bob.id, project["id"])

    async def test_who_is_removed_is_told_that_and_nothing_more(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        await ada.post(f"/projects/{project['id']}/members", {"username": bob.username, "role": "member"})
        reader = await reader_of(bob, door, database)
        await ada.task(project_id=project["id"])
        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
        await ada.task(project_id=project["id"])

        heard = await reader.hear()

        assert [(item["kind"], item["project_id"]) for item in heard] == [("member.removed", project["id"])]

    async def test_members_of_a_deleted_project_are_told(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        await ada.post(f"/projects/{project['id']}/members", {"username": bob.username, "role": "member"})
        await ada.task(project_id=project["id"])
        readers = [await reader_of(person, door, database) for person in (ada, bob)]
        assert (await ada.delete(f"/projects/{project['id']}")).status_code == 204

        for reader in readers:
            heard = await reader.hear()
            assert [(item["kind"], item["entity_id"], item["project_id"]) for item in heard] == [
                ("member.removed", reader.person.id, project["id"])
            ]

    async def test_archiving_and_renaming_are_told(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        await ada.post(f"/projects/{project['id']}/members", {"username": bob.username, "role": "viewer"})
        reader = await reader_of(bob, door, database)
        await ada.patch(f"/projects/{project['id']}", {"archived": True})
        await ada.patch("/users/me", {"full_name": "Ada King"})

        heard = await reader.hear()

        assert [(item["kind"], item["fields"]) for item in heard] == [
            ("project.updated", ["archived"]),
            ("user.updated", ["full_name"]),
        ]

    async def test_strangers_views_and_logins_are_nobodys_concern(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        reader, own = await reader_of(bob, door, database), await reader_of(ada, door, database)
        await ada.post("/saved-views", {"name": "Mine", "filter": {}})
        await ada.patch("/users/me", {"full_name": "Ada"})
        await ada.client.post("/api/v1/token", data={"username": ada.username, "password": "wrong"})
        await ada.post("/users/me/api-keys", {"name": "k", "scopes": ["tasks:read"]})

        assert await reader.kinds() == []
        assert await own.kinds() == ["saved_view.created", "user.updated"]


class TestCursors:
    @pytest.mark.parametrize(
        "after", ["", "12", "x", "-1", "1-", "99999999999999999999-00000000", "1-0000000g", "٣-00000000"]
    )
    async def test_no_cursor_is_refused(self, ada: Person, door: Door, after: str) -> None:
        assert await code(ada, door, after) == "BAD_USER_INPUT"

    async def test_cursor_of_another_history_asks_to_read_all_again(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        reader = await reader_of(ada, door, database)
        await ada.task()
        await reader.hear()
        position = int(reader.cursor.partition("-")[0])

        assert await code(ada, door, f"{position}-{'0' * 8}") == "RESYNC_REQUIRED"
        for further in (position + 1_000_000, 2**31, 2**63 - 1):
            assert await code(ada, door, f"{further}-{'0' * 8}") == "RESYNC_REQUIRED"
        assert await code(ada, door, f"{2**63}-{'0' * 8}") == "BAD_USER_INPUT"

    async def test_a_database_that_was_set_back_is_found_out(self, ada: Person, door: Door, database: Database) -> None:
        """A dump of yesterday was restored, and positions are given anew, to other events."""
        reader = await reader_of(ada, door, database)
        task = await ada.task()
        await reader.hear()
        async with database.writing() as session:
            await session.execute(
                update(Event)
                .where(Event.entity_type == "task", Event.entity_id == task["id"])
                .values(event_id="01a222af-a10b-73dd-a120-" + f"{task['id']:012x}")
            )

        assert await code(ada, door, reader.cursor) == "RESYNC_REQUIRED"

    @pytest.mark.parametrize("limit", [-1, 501])
    async def test_limit_has_bounds(self, ada: Person, door: Door, limit: int) -> None:
        assert await code(ada, door, "0", limit) == "BAD_USER_INPUT"


@pytest.fixture(scope="module")
def servers(database_urls: dict[str, str]) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, database_urls)


@pytest.fixture
async def server(servers: Servers, backend: str, database: Database, ada: Person) -> LiveServer:
    await number_all(database)  # what has happened before, also to others, is not to be told
    return servers(backend)


class Stream:
    """What a client of an event stream has read: events as dictionaries, and the comments."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._blocks = self._read()

    async def _read(self) -> AsyncIterator[dict[str, str]]:
        block: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            if line:
                name, _, value = line.partition(":")
                block[name] = value.removeprefix(" ")
            elif block:
                yield block
                block = {}

    async def next(self) -> dict[str, str]:
        """The next event. Raises ``StopAsyncIteration`` at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            while "event" not in (block := await anext(self._blocks)):
                pass
            return block

    async def start(self) -> dict[str, str]:
        """What the stream begins with."""
        async with asyncio.timeout(PATIENCE):
            return await anext(self._blocks)


@asynccontextmanager
async def streaming(
    server: LiveServer, person: Anonymous, path: str = "/events", **headers: str
) -> AsyncIterator[Stream]:
    async with (
        httpx.AsyncClient(base_url=server.base_url, timeout=PATIENCE) as client,
        client.stream("GET", f"/api/v1{path}", headers=person.headers | headers) as response,
    ):
        yield Stream(response)


async def _follow_by_socket(server: LiveServer, caller: Anonymous) -> None:
    async with initialised(server, caller) as socket:
        await socket.subscribe("subscription { changes { kind } }", id="follow")
        await socket.receive()


class TestWhoMayFollow:
    async def test_nobody_without_an_account(self, server: LiveServer, ada: Person) -> None:
        nobody = Anonymous(ada.client)
        async with streaming(server, nobody) as stream:
            assert stream.response.status_code == 401
        with pytest.raises(ConnectionClosed, match="4401"):
            await _follow_by_socket(server, nobody)

    @pytest.mark.parametrize("scope", ["tasks:read", "tasks:write", "projects:admin"])
    async def test_keys_that_may_read(self, server: LiveServer, ada: Person, scope: str) -> None:
        made = await ada.post("/users/me/api-keys", {"name": "k", "scopes": [scope]})
        key = Anonymous(ada.client, {"X-API-Key": made.json()["secret"]})
        async with streaming(server, key) as stream:
            assert stream.response.status_code == 200


class TestStream:
    async def test_what_happens_is_told_as_it_happens(self, server: LiveServer, ada: Person) -> None:
        async with streaming(server, ada) as stream:
            assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert "retry" in await stream.start()
            task = await ada.task()
            first = await stream.next()

        told = json.loads(first["data"])
        assert (first["event"], first["id"]) == ("task.created", told["cursor"])
        assert told["entity_id"] == task["id"]

    async def test_a_client_that_comes_back_misses_nothing(self, server: LiveServer, ada: Person) -> None:
        async with streaming(server, ada) as stream:
            await stream.start()
            await ada.task()
            first = await stream.next()
        missed = [(await ada.task())["id"] for _ in range(3)]
        async with streaming(server, ada, "/events?after=0", **{"Last-Event-ID": first["id"]}) as stream:
            heard = [json.loads((await stream.next())["data"])["entity_id"] for _ in missed]
            missed.append((await ada.task())["id"])
            heard.append(json.loads((await stream.next())["data"])["entity_id"])

        assert heard == missed

    async def test_a_wrong_cursor_is_refused_before_the_stream_begins(self, server: LiveServer, ada: Person) -> None:
        for cursor, status in (("x", 422), ("1-00000000", 410)):
            async with streaming(server, ada, f"/events?after={cursor}") as stream:
                assert stream.response.status_code == status
                assert stream.response.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize(
        ("accept", "status"),
        [
            ("application/json", 406),
            ("*/*, text/event-stream;q=0", 406),
            ("text/event-stream, */*;q=0", 422),
            ("text/*;q=0.1, image/png", 422),
            ("*/*", 422),
            ("", 422),
        ],
    )
    async def test_who_takes_no_stream_is_told_so(self, ada: Person, accept: str, status: int) -> None:
        # a cursor that is none keeps the stream from beginning
        for path in ("/events", "/tasks/live"):
            answer = await ada.get(f"{path}?after=x", headers={"Accept": accept})

            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == {406: "NOT_ACCEPTABLE", 422: "BAD_USER_INPUT"}[status]

    async def test_it_ends_with_the_session(self, server: LiveServer, ada: Person) -> None:
        async with streaming(server, ada) as stream:
            await stream.start()
            await ada.post("/token/revoke", {"refresh_token": ada.refresh_token})
            async with asyncio.timeout(3):
                last = await stream.next()
                with pytest.raises(StopAsyncIteration):
                    await stream.next()

        assert last["event"] == "error"
        assert json.loads(last["data"])["code"] == "UNAUTHENTICATED"

    async def test_graphql_follows_the_same(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            start = (await ada.get("/changes", params={"after": "now"})).json()["cursor"]
            task = await ada.task()
            await socket.subscribe(
                f'subscription {{ changes(after: "{start}") {{ kind entityId fields }} }}', id="follow"
            )
            message = await socket.receive()

        assert message["payload"]["data"]["changes"]["entityId"] == task["id"]
