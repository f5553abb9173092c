"""Sockets and event streams end with the session or key that they came by, though nothing happens on them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from websockets.exceptions import ConnectionClosed

from core import deadlines
from core.clock import now
from core.tokens import AccessTokens
from db.driver.database import Database
from db.models import ApiKey, LoginSession
from services.connections import LOOK_SECONDS, Bounds, Connections
from services.events.numbering import number_all
from services.shared.actors import Actor
from services.shared.errors import TandemError, TooManyAtOnce
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import SECRET, SERVER_KEY
from tests.live import LiveServer
from tests.sockets import initialised

FOLLOW = "subscription { taskCreated { title } }"
STREAM = {"Accept": "text/event-stream"}
BOUNDS = Bounds(connections=10, operations=10, strangers=10)
WITHIN = 1.0
"""Seconds, of which a look at the database is half; the rest is for a machine that does other things as well."""
Ending = Callable[[httpx.AsyncClient, Person], Awaitable[httpx.Response]]


async def log_out(http: httpx.AsyncClient, person: Person) -> httpx.Response:
    return await http.post("/token/revoke", json={"refresh_token": person.refresh_token})


async def refresh_twice(http: httpx.AsyncClient, person: Person) -> httpx.Response:
    await http.post("/token/refresh", json={"refresh_token": person.refresh_token})
    return await http.post("/token/refresh", json={"refresh_token": person.refresh_token})


async def end_session(http: httpx.AsyncClient, person: Person) -> httpx.Response:
    return await http.delete(f"/users/me/sessions/{person.actor.session_id}", headers=person.headers)


async def change_password(http: httpx.AsyncClient, person: Person) -> httpx.Response:
    login = {"username": person.username, "password": PASSWORD}
    other = (await http.post("/token", data=login)).json()["access_token"]
    anew = f"{PASSWORD} anew"
    change = {"current_password": PASSWORD, "new_password": anew, "confirm_password": anew}
    return await http.post("/users/me/password", json=change, headers={"Authorization": f"Bearer {other}"})


async def disable(http: httpx.AsyncClient, person: Person) -> httpx.Response:
    address = f"/admin/users/{person.id}"
    return await http.patch(address, json={"disabled": True}, headers={"X-API-Key": SERVER_KEY})


WAYS: dict[str, tuple[Ending, int]] = {
    "logging out": (log_out, 204),
    "a refresh token twice": (refresh_twice, 401),
    "ending the session": (end_session, 204),
    "another password": (change_password, 200),
    "disabling the account": (disable, 200),
}


@asynccontextmanager
async def followed_by_stream(server: LiveServer, caller: Anonymous) -> AsyncIterator[httpx.Response]:
    """A stream that follows and hears nothing."""
    async with httpx.AsyncClient(base_url=server.base_url, timeout=10) as http:
        asked: dict[str, Any] = {"json": {"query": FOLLOW}, "headers": caller.headers | STREAM}
        async with http.stream("POST", "/graphql", **asked) as response:
            assert response.status_code == 200
            yield response


async def end_of(stream: httpx.Response) -> str:
    return (await stream.aread()).decode()


class TestSession:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("worker", ["this", "another"])
    async def test_its_end_is_that_of_its_socket_and_stream(
        self, server: LiveServer, ada: Person, bob: Person, way: str, worker: str
    ) -> None:
        end, status = WAYS[way]
        async with AsyncExitStack() as stack:
            socket = await stack.enter_async_context(initialised(server, ada))
            await socket.subscribe(FOLLOW)
            others = await stack.enter_async_context(initialised(server, bob))
            stream = await stack.enter_async_context(followed_by_stream(server, ada))
            here = httpx.AsyncClient(base_url=server.base_url)
            http = await stack.enter_async_context(here) if worker == "this" else ada.client
            assert (await end(http, ada)).status_code == status
            began = time.monotonic()
            assert await socket.close_code() == (4403, "The session has ended")
            told = await end_of(stream)
            took = time.monotonic() - began
            assert await others.quiet(0.2)
        assert took < WITHIN
        assert told.startswith("event: next\ndata: ")
        assert '"UNAUTHENTICATED"' in told
        assert told.endswith("\n\nevent: complete\ndata: \n\n")
        assert server.state.connections.sockets <= 1

    async def test_outlasts_the_token_on_socket_and_stream(self, server: LiveServer, ada: Person) -> None:
        tokens = AccessTokens(secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=2)
        token = tokens.issue(user_id=ada.id, session_id=ada.actor.session_id or 0)
        holder = Anonymous(ada.client, {"Authorization": f"Bearer {token}"})
        async with initialised(server, holder) as socket, followed_by_stream(server, holder) as stream:
            await socket.subscribe(FOLLOW)
            await asyncio.sleep(2.5)
            assert (await ada.client.get("/users/me", headers=holder.headers)).status_code == 401
            async with httpx.AsyncClient(base_url=server.base_url) as http:
                # a session goes on whose tokens are renewed
                renewed = await http.post("/token/refresh", json={"refresh_token": ada.refresh_token})
                ada.refresh_token = renewed.json()["refresh_token"]
                await ada.task(title="after the token")
                assert (await socket.receive())["payload"]["data"] == {"taskCreated": {"title": "after the token"}}
                assert (await socket.run("{ me { username } }"))["data"] == {"me": {"username": ada.username}}
                await asyncio.sleep(
                    0.5
                )  # the stream is told in its own time, and of nothing once the session has ended
                assert (await log_out(http, ada)).status_code == 204
            began = time.monotonic()
            assert await socket.close_code() == (4403, "The session has ended")
            told = await end_of(stream)
        assert time.monotonic() - began < WITHIN
        assert "after the token" in told
        assert '"UNAUTHENTICATED"' in told

    async def test_it_ends_when_nobody_renews_it(self, server: LiveServer, ada: Person, database: Database) -> None:
        ends_at = now() + timedelta(seconds=1.5)
        async with database.writing() as session:
            mine = LoginSession.id == ada.actor.session_id
            await session.execute(update(LoginSession).where(mine).values(expires_at=ends_at))
        async with initialised(server, ada) as socket, followed_by_stream(server, ada) as stream:
            assert await socket.close_code() == (4403, "The session has ended")
            assert timedelta() <= now() - ends_at < timedelta(seconds=WITHIN)
            assert '"UNAUTHENTICATED"' in await end_of(stream)

    async def test_nothing_more_is_carried_out(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            async with httpx.AsyncClient(base_url=server.base_url) as http:
                assert (await log_out(http, ada)).status_code == 204
            with suppress(ConnectionClosed):  # it may be closed before that is sent
                await socket.subscribe('mutation { createTask(input: {title: "late"}) { task { id } } }')
            assert (await socket.close_code())[0] == 4403


class TestKey:
    @pytest.mark.parametrize("worker", ["this", "another"])
    async def test_its_end_is_that_of_its_socket_and_stream(self, server: LiveServer, ada: Person, worker: str) -> None:
        key = await ada.api_key("tasks:read")
        [stored] = (await ada.get("/users/me/api-keys")).json()
        async with initialised(server, key) as socket, followed_by_stream(server, key) as stream:
            async with httpx.AsyncClient(base_url=server.base_url) as here:
                http = here if worker == "this" else ada.client
                address = f"/users/me/api-keys/{stored['id']}"
                assert (await http.delete(address, headers=ada.headers)).status_code == 204
            began = time.monotonic()
            assert await socket.close_code() == (4403, "Invalid API key")
            assert '"FORBIDDEN"' in await end_of(stream)
            assert time.monotonic() - began < WITHIN

    async def test_another_secret_ends_what_came_by_the_one_before(self, server: LiveServer, ada: Person) -> None:
        key = await ada.api_key("tasks:read")
        [stored] = (await ada.get("/users/me/api-keys")).json()
        address = f"/users/me/api-keys/{stored['id']}/rotate"
        async with initialised(server, key) as socket:
            rotated = (await ada.post(address, {"grace_seconds": 60})).json()
            assert await socket.quiet(1.0)
            again = Anonymous(ada.client, {"X-API-Key": rotated["secret"]})
            async with initialised(server, again) as newer:
                await ada.post(address, {"grace_seconds": 60})
                assert await socket.close_code() == (4403, "Invalid API key")
                assert await newer.quiet(1.0)

    async def test_it_ends_when_it_expires(self, server: LiveServer, ada: Person, database: Database) -> None:
        key = await ada.api_key("tasks:read")
        ends_at = now() + timedelta(seconds=1.5)
        async with database.writing() as session:
            await session.execute(update(ApiKey).where(ApiKey.user_id == ada.id).values(expires_at=ends_at))
        async with initialised(server, key) as socket:
            assert await socket.close_code() == (4403, "Invalid API key")
            assert timedelta() <= now() - ends_at < timedelta(seconds=WITHIN)


class TestLooks:
    @contextmanager
    def connected(self, connections: Connections, actor: Actor, heard: list[TandemError]) -> Iterator[None]:
        with connections.connected(actor, on_end=heard.append):
            yield

    async def test_statements_do_not_depend_on_how_many_are_connected(
        self, database: Database, ada: Person, bob: Person
    ) -> None:
        await number_all(database)  # that they logged in
        connections = Connections(database, Bounds(connections=1_000, operations=1, strangers=1))
        heard: list[TandemError] = []
        seen: list[str] = []
        with ExitStack() as stack:
            for person in (ada, bob) * 100:
                stack.enter_context(self.connected(connections, person.actor, heard))
            database.observers.append(lambda sql, *_: seen.append(sql))
            began = time.monotonic()
            try:
                await asyncio.sleep(1.3)
            finally:
                database.observers.pop()
        await connections.stop()
        assert not heard
        looks = [sql for sql in seen if "sessions.ended_at" in sql]  # events are numbered beside them
        assert 1 <= len(looks) <= 1 + (time.monotonic() - began) / LOOK_SECONDS, looks

    async def test_who_comes_later_is_looked_up_alone_and_ends_by_itself(
        self, database: Database, ada: Person, bob: Person
    ) -> None:
        connections = Connections(database, BOUNDS)
        heard: dict[str, list[TandemError]] = {"ada": [], "bob": []}
        with self.connected(connections, ada.actor, heard["ada"]):
            await asyncio.sleep(1.2)
            async with database.writing() as session:
                ends = update(LoginSession).where(LoginSession.id == bob.actor.session_id)
                await session.execute(ends.values(expires_at=now() + timedelta(seconds=1)))
            with self.connected(connections, bob.actor, heard["bob"]):
                await asyncio.sleep(1 + WITHIN)
        await connections.stop()
        assert not heard["ada"]
        assert [error.code for error in heard["bob"]] == ["UNAUTHENTICATED"]

    async def test_nobody_is_looked_up_while_nobody_is_connected(self, database: Database, ada: Person) -> None:
        connections = Connections(database, BOUNDS)
        with self.connected(connections, ada.actor, []):
            await asyncio.sleep(0.1)
        watching = connections._watching._task
        assert watching is not None
        async with asyncio.timeout(2):
            await watching

    async def test_database_that_is_away_ends_nobody(
        self, database: Database, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connections = Connections(database, BOUNDS)
        heard: list[TandemError] = []
        looks = 0

        async def away(*_: object, **__: object) -> set[int]:
            nonlocal looks
            looks += 1
            raise OSError("gone")

        look = connections._live
        monkeypatch.setattr(connections, "_live", away)
        with self.connected(connections, ada.actor, heard):
            await asyncio.sleep(1.3)
            assert looks >= 2
            assert not heard
            monkeypatch.setattr(connections, "_live", look)
            await ada.post("/token/revoke", {"refresh_token": ada.refresh_token})
            await asyncio.sleep(WITHIN)
        await connections.stop()
        assert [error.code for error in heard] == ["UNAUTHENTICATED"]

    async def test_they_go_on_when_the_request_that_began_them_has_ended(self, database: Database, ada: Person) -> None:
        connections = Connections(database, BOUNDS)
        heard: list[TandemError] = []
        with deadlines.working(0.2, "somebody"):
            stack = ExitStack()
            stack.enter_context(self.connected(connections, ada.actor, []))
        with stack, self.connected(connections, ada.actor, heard):
            await ada.post("/token/revoke", {"refresh_token": ada.refresh_token})
            await asyncio.sleep(2 * WITHIN)
        await connections.stop()
        assert [error.code for error in heard] == ["UNAUTHENTICATED"]

    async def test_places_come_back(self, database: Database, ada: Person) -> None:
        connections = Connections(database, Bounds(connections=1, operations=1, strangers=1))
        one_more = pytest.raises(TooManyAtOnce)
        for _ in range(2):
            with self.connected(connections, ada.actor, []), one_more, self.connected(connections, ada.actor, []):
                pytest.fail("it was let in")
            place = connections.stranger("::1")
            with pytest.raises(TooManyAtOnce):
                connections.stranger("::1")
            connections.stranger("::2").give()
            place.give()
            place.give()
        await connections.stop()
