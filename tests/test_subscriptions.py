"""Following tasks over a socket: each once, in order, only those that may be read, for as long as the session lasts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from sqlalchemy import select
from websockets.exceptions import ConnectionClosed

from core.tokens import AccessTokens
from db.driver.database import Database
from db.models import Event, Task
from services.events import catalogue
from services.events.feed import ConsumerLagged, Follower
from services.events.log import NewEvent, record
from tests.actors import Anonymous, Person
from tests.conftest import SECRET, Servers
from tests.live import LiveServer
from tests.sockets import PATIENCE, Socket, created, initialised
from tests.waiting import until

FOLLOW = "subscription { taskCreated { title } }"


@asynccontextmanager
async def following(
    server: LiveServer, caller: Anonymous, witness: Person, query: str = FOLLOW
) -> AsyncIterator[Socket]:
    """A socket whose subscription ``follow`` is known to run: what the witness creates arrives."""
    async with initialised(server, caller) as socket:
        await socket.subscribe(query, id="follow")
        sent = 0
        with anyio.fail_after(PATIENCE):
            # there is no message that says that a subscription has begun
            while sent == 0 or await socket.quiet(0.3):
                sent += 1
                await created(witness, f"witness {sent}")
        while not await socket.quiet(0.3):
            pass
        yield socket


async def titles(socket: Socket, number: int) -> list[str]:
    found = []
    for _ in range(number):
        message = await socket.receive()
        assert (message["id"], message["type"]) == ("follow", "next"), message
        found.append(message["payload"]["data"]["taskCreated"]["title"])
    return found


class TestEvents:
    async def test_each_arrives_once_and_in_order(self, server: LiveServer, ada: Person, database: Database) -> None:
        async with following(server, ada, ada) as one, following(server, ada, ada) as two:
            while not await one.quiet(0.3):
                pass  # the second one's witnesses
            wanted = [f"task {number}" for number in range(40)]
            await asyncio.gather(*(created(ada, title) for title in wanted))
            seen = await titles(one, 40)
            assert await titles(two, 40) == seen
            assert await one.quiet()

        assert sorted(seen) == sorted(wanted)
        async with database.reading() as session:
            in_order = await session.scalars(
                select(Task.title)
                .join(Event, (Event.entity_id == Task.id) & (Event.kind == "task.created"))
                .where(Task.title.in_(wanted), Task.created_by_id == ada.id)
                .order_by(Event.position)
            )
        assert seen == in_order

    async def test_past_is_not_told(self, server: LiveServer, ada: Person) -> None:
        for number in range(20):
            await created(ada, f"past {number}")
        async with initialised(server, ada) as socket:
            await socket.subscribe(FOLLOW, id="follow")
            assert await socket.quiet(0.6)
            await created(ada, "present")
            assert await titles(socket, 1) == ["present"]

    async def test_other_changes_are_not_told(self, server: LiveServer, ada: Person) -> None:
        async with following(server, ada, ada) as socket:
            task = await ada.task(title="told")
            assert await titles(socket, 1) == ["told"]
            await ada.patch(f"/tasks/{task['id']}", {"title": "changed"})
            await ada.comment(task["id"])
            await ada.delete(f"/tasks/{task['id']}")
            await created(ada, "told too")
            assert await titles(socket, 1) == ["told too"]

    async def test_only_readable_projects_are_told(self, server: LiveServer, ada: Person, bob: Person) -> None:
        theirs, shared = await bob.project(), await bob.project()
        await bob.invite(shared, ada, "viewer")
        async with following(server, ada, ada) as socket:
            await created(bob, "in the inbox")
            await created(bob, "not shared", project_id=theirs["id"])
            await created(bob, "shared", project_id=shared["id"])
            assert await titles(socket, 1) == ["shared"]
            await bob.delete(f"/projects/{shared['id']}/members/{ada.id}")
            await created(bob, "no longer shared", project_id=shared["id"])
            await created(ada, "mine")
            assert await titles(socket, 1) == ["mine"]

    async def test_task_that_went_to_the_trash_before_it_was_told_is_not_told(
        self, server: LiveServer, ada: Person, database: Database
    ) -> None:
        task = await ada.task()
        await ada.delete(f"/tasks/{task['id']}")
        late = NewEvent(catalogue.TASK_CREATED, task["id"], {}, project_id=task["project_id"], task_id=task["id"])
        async with following(server, ada, ada) as socket:
            async with database.writing() as session:
                await record(session, ada.actor, late)
            await created(ada, "told")
            assert await titles(socket, 1) == ["told"]

    async def test_what_hangs_on_a_task_is_read_anew_for_each(self, server: LiveServer, ada: Person) -> None:
        project = await ada.project(name="Old")
        query = "subscription { taskCreated { title project { name } tags { name } } }"
        async with following(server, ada, ada, query) as socket:
            for name in ("Old", "New"):
                await ada.patch(f"/projects/{project['id']}", {"name": name})
                await ada.task(project_id=project["id"], tags=[name])
                task = (await socket.receive())["payload"]["data"]["taskCreated"]
                assert (task["project"]["name"], task["tags"]) == (name, [{"name": name}])

    async def test_it_outlasts_the_deadline_of_a_request(self, servers: Servers, backend: str, ada: Person) -> None:
        hurried = servers(backend, request_timeout_seconds=2)
        async with following(hurried, ada, ada) as socket:
            await anyio.sleep(2.5)
            await created(ada, "late")

            assert (await socket.receive())["payload"]["data"] == {"taskCreated": {"title": "late"}}

    async def test_key_may_follow(self, server: LiveServer, ada: Person) -> None:
        key = await ada.api_key("tasks:read")
        async with following(server, key, ada) as socket:
            await created(ada, "x")
            assert await titles(socket, 1) == ["x"]


class TestEnd:
    async def test_completing_it_ends_it(self, server: LiveServer, ada: Person) -> None:
        async with following(server, ada, ada) as socket:
            await socket.send({"type": "complete", "id": "follow"})
            await until(lambda: not server.state.feed.followers)
            await created(ada, "unheard")
            assert await socket.quiet()
            assert (await socket.run("{ me { databaseId } }"))["data"]["me"]["databaseId"] == ada.id

    @pytest.mark.parametrize("code", [1000, 1001, 4999])
    async def test_closing_the_socket_ends_it(self, server: LiveServer, ada: Person, code: int) -> None:
        async with following(server, ada, ada) as socket:
            await socket.connection.close(code)
            await until(lambda: not server.state.feed.followers)

    async def test_breaking_off_ends_it(self, server: LiveServer, ada: Person) -> None:
        async with following(server, ada, ada) as socket:
            socket.connection.transport.abort()
            await until(lambda: not server.state.feed.followers)

    async def test_ended_session_hears_no_more(self, server: LiveServer, ada: Person, bob: Person) -> None:
        shared = await bob.project()
        await bob.invite(shared, ada, "viewer")
        async with following(server, ada, ada) as socket:
            # on another worker, which this one learns of within a second
            assert (await ada.post("/token/revoke", {"refresh_token": ada.refresh_token})).status_code == 204
            await anyio.sleep(1)
            await created(bob, "unheard", project_id=shared["id"])
            with anyio.fail_after(PATIENCE), pytest.raises(ConnectionClosed) as closed:
                await socket.connection.recv()
            await until(lambda: not server.state.feed.followers)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, "The session has ended")

    async def test_nothing_is_lost_when_the_token_turns(self, server: LiveServer, ada: Person) -> None:
        tokens = AccessTokens(secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=5)
        token = tokens.issue(user_id=ada.id, session_id=ada.actor.session_id or 0)
        ends_at = tokens.verify(token).expires_at
        holder = Anonymous(ada.client, {"Authorization": f"Bearer {token}"})
        async with following(server, holder, ada) as socket:
            sent: list[str] = []
            while not sent or time.time() < ends_at + 0.5:
                sent.append(f"event {len(sent)}")
                await created(ada, sent[-1])
                await anyio.sleep(0.1)
            assert await titles(socket, len(sent)) == sent

    async def test_follower_that_falls_behind_is_told_everything(
        self, server: LiveServer, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        behind = 0
        take = Follower.take

        async def taken_too_slowly(self: Follower) -> Any:
            nonlocal behind
            told = await take(self)
            if behind < 2 and any(item.kind == "task.created" for item in told.items):
                behind += 1
                raise ConsumerLagged
            return told

        async with following(server, ada, ada) as socket:
            monkeypatch.setattr(Follower, "take", taken_too_slowly)
            for number in range(4):
                title = await created(ada, f"task {number}")
                assert await titles(socket, 1) == [title]
        assert behind == 2

    async def test_server_that_stops_says_goodbye(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend, log_level="WARNING")
        async with following(server, ada, ada) as socket:
            await asyncio.to_thread(server.stop)
            assert (await socket.close_code())[0] == 1012
