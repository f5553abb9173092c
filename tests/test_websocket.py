"""graphql-transport-ws on a real server: the handshake, the protocol's rules, queries and mutations."""

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from api.graphql import websocket
from core.tokens import AccessTokens
from services.tasks import queries
from tests.actors import Anonymous, Person
from tests.conftest import SECRET, SERVER_KEY, Servers
from tests.live import LiveServer
from tests.sockets import PROTOCOL, Socket, initialised, opened

INIT = {"type": "connection_init"}
ME = "{ me { databaseId } }"
CREATE = "mutation($title: String!) { createTask(input: {title: $title}) { task { databaseId title } } }"
FOLLOW = "subscription { taskCreated { title } }"
REQUEST = {"query": ME}
NO_IDS: tuple[Any, ...] = (None, 1, "", [], True)
NO_PAYLOADS: tuple[Any, ...] = (None, [], "x", 1, {}, {"query": None}, {"query": 1}, {"query": ["x"]}, {"query": " "})
NO_PARTS: tuple[dict[str, Any], ...] = (
    {"variables": []},
    {"variables": "{}"},
    {"operationName": 1},
    {"extensions": "x"},
)
BAD_MESSAGES: tuple[str | bytes, ...] = (
    *("null", "[]", '"x"', "1", "true", "{", "", "{}", '{"type": 1}', '{"type": null}', '{"type": "nonsense"}', "NaN"),
    *('{"type": "start"}', '{"type": "connection_terminate"}', "[" * 60_000, '{"type": "ping", "type": []}'),
    *(b"", b"\xff", b'{"type": "ping"}'),
    *(json.dumps({"type": "subscribe", "payload": REQUEST, "id": id}) for id in NO_IDS),
    *(json.dumps({"type": "subscribe", "id": "1", "payload": payload}) for payload in NO_PAYLOADS),
    *(json.dumps({"type": "subscribe", "id": "1", "payload": REQUEST | part}) for part in NO_PARTS),
    *('{"type": "subscribe", "id": "1"}', '{"type": "complete"}', '{"type": "complete", "id": 1}'),
)


def expired(person: Person) -> str:
    """A token of the person's session that has just run out."""
    tokens = AccessTokens(secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=-10)
    return tokens.issue(user_id=person.id, session_id=person.actor.session_id or 0)


async def initialise(socket: Socket, payload: Any) -> tuple[int, str] | dict[str, Any]:
    """The answer to an initialisation: a message, or how the socket is closed."""
    await socket.send(INIT | {"payload": payload})
    try:
        return await socket.receive()
    except Exception:
        return await socket.close_code()


class TestHandshake:
    @pytest.mark.parametrize("protocols", [(PROTOCOL,), ("graphql-ws", PROTOCOL), (PROTOCOL, "x")])
    async def test_protocol_is_agreed_on(self, server: LiveServer, ada: Person, protocols: tuple[str, ...]) -> None:
        async with opened(server, protocols=protocols) as socket:
            assert socket.protocol == PROTOCOL
            assert await initialise(socket, ada.headers) == {"type": "connection_ack"}

    @pytest.mark.parametrize("protocols", [(), ("graphql-ws",), ("graphql-transport-ws2", "x")])
    async def test_any_other_protocol_is_refused(self, server: LiveServer, protocols: tuple[str, ...]) -> None:
        async with opened(server, protocols=protocols) as socket:
            assert socket.protocol is None
            assert await socket.close_code() == (4406, "Subprotocol not acceptable")

    async def test_idempotency_key_in_a_header_is_refused(self, server: LiveServer, ada: Person) -> None:
        async with opened(server, headers=ada.headers | {"Idempotency-Key": "mine"}) as socket:
            code, reason = await socket.close_code()
        assert code == 4400
        assert "idempotencyKey" in reason

    @pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://localhost:3000.example.com"])
    async def test_foreign_origin_is_refused(self, server: LiveServer, ada: Person, origin: str) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(server, origin=origin, headers=ada.headers):
                pass
        assert refused.value.response.status_code == 403

    async def test_own_pages_and_allowed_origins_are_let_in(self, server: LiveServer, ada: Person) -> None:
        for origin in (server.base_url, "http://localhost:3000", None):
            async with opened(server, origin=origin) as socket:
                assert await initialise(socket, ada.headers) == {"type": "connection_ack"}

    async def test_pages_of_the_own_machine_are_let_in_in_development(
        self, servers: Servers, backend: str, ada: Person
    ) -> None:
        server = servers(backend, environment="development")
        async with opened(server, origin="http://localhost:5173") as socket:
            await socket.send({"type": "connection_init", "payload": ada.headers})
            assert await socket.receive() == {"type": "connection_ack"}
        with pytest.raises(InvalidStatus):
            async with opened(server, origin="http://localhost.evil.example.com:5173"):
                pytest.fail("it was let in")

    async def test_any_origin_is_let_in_where_the_settings_say_so(
        self, servers: Servers, backend: str, ada: Person
    ) -> None:
        async with opened(servers(backend, allowed_origins="*"), origin="https://elsewhere.example.com") as socket:
            assert await initialise(socket, ada.headers) == {"type": "connection_ack"}


class TestInitialisation:
    async def test_silence_is_not_waited_for(self, servers: Servers, backend: str) -> None:
        server = servers(backend, socket_init_seconds=0.3)
        async with opened(server) as silent, opened(server) as chatty:
            for _ in range(3):
                await chatty.send({"type": "ping"})
            assert await silent.close_code() == (4408, "Connection initialisation timeout")
            assert await chatty.close_code() == (4408, "Connection initialisation timeout")

    async def test_initialised_socket_may_be_silent(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend, socket_init_seconds=0.3)
        async with initialised(server, ada) as socket:
            assert await socket.quiet(0.6)
            assert (await socket.run(ME))["data"]

    async def test_operation_before_it_is_unauthorized(self, server: LiveServer) -> None:
        async with opened(server) as socket:
            await socket.subscribe(ME)
            assert await socket.close_code() == (4401, "Unauthorized")

    @pytest.mark.parametrize("payload", [None, {}, {"Authorization": ""}, {"authorization": 1}, {"token": "x"}])
    async def test_without_credentials_it_is_unauthorized(self, server: LiveServer, payload: Any) -> None:
        async with opened(server) as socket:
            assert await initialise(socket, payload) == (4401, "Unauthorized")

    async def test_bad_credentials_are_forbidden(self, server: LiveServer, ada: Person) -> None:
        for payload in (
            {"Authorization": "Bearer nonsense"},
            {"Authorization": f"Basic {ada.access_token}"},
            {"authorization": f"Bearer {expired(ada)}"},
            {"X-API-Key": "nonsense"},
            {"Authorization": f"Bearer {ada.access_token}", "X-API-Key": "nonsense"},
        ):
            async with opened(server) as socket:
                closed = await initialise(socket, payload)
                assert isinstance(closed, tuple)
                assert closed[0] == 4403, payload
                assert closed[1]

    async def test_credentials_are_found_wherever_clients_put_them(self, server: LiveServer, ada: Person) -> None:
        bearer, key = f"Bearer {ada.access_token}", await ada.api_key("tasks:read")
        payloads: list[dict[str, str]] = [
            {"Authorization": bearer},
            {"authorization": bearer},
            {"AUTHORIZATION": bearer},
        ]
        for payload in [*payloads, key.headers, {"x-api-key": SERVER_KEY}]:
            async with opened(server) as socket:
                assert await initialise(socket, payload) == {"type": "connection_ack"}
        for empty in (None, {}, {"unrelated": True}):
            async with opened(server, headers=ada.headers) as socket:
                assert await initialise(socket, empty) == {"type": "connection_ack"}
                assert (await socket.run(ME))["data"]["me"]["databaseId"] == ada.id

    @pytest.mark.parametrize("payload", [[], "x", 1, True])
    async def test_payload_that_is_no_object_is_a_bad_request(
        self, server: LiveServer, ada: Person, payload: Any
    ) -> None:
        async with opened(server, headers=ada.headers) as socket:
            closed = await initialise(socket, payload)
            assert closed == (4400, "The payload of connection_init must be an object")

    async def test_second_one_is_one_too_many(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            await socket.send(INIT)
            assert await socket.close_code() == (4429, "Too many initialisation requests")


class TestMessages:
    async def test_each_that_breaks_the_protocol_closes_the_socket(self, server: LiveServer, ada: Person) -> None:
        for message in BAD_MESSAGES:
            async with initialised(server, ada) as socket:
                await socket.send(message)
                code, reason = await socket.close_code()
            assert code == 4400, message
            assert reason
            assert not any(word in reason for word in ("Error", "object has", "NoneType", "expected"))

    async def test_no_better_before_the_initialisation(self, server: LiveServer) -> None:
        for message in ("null", "[]", "{", '{"type": "nonsense"}', b"x"):
            async with opened(server) as socket:
                await socket.send(message)
                assert (await socket.close_code())[0] == 4400, message

    async def test_large_one_is_refused(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            await socket.send({"type": "ping", "payload": {"x": "x" * 65_000}})
            assert await socket.receive() == {"type": "pong"}
            await socket.send({"type": "ping", "payload": {"x": "x" * 65_536}})
            assert (await socket.close_code())[0] == 1009

    async def test_limit_is_that_of_bodies(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend, max_body_bytes=2_000)
        for letter, fit in (("x", 1_900), ("é", 900)):
            async with initialised(server, ada) as socket:
                await socket.send(json.dumps({"type": "ping", "payload": {"x": letter * fit}}, ensure_ascii=False))
                assert await socket.receive() == {"type": "pong"}
                await socket.send(json.dumps({"type": "ping", "payload": {"x": letter * fit * 2}}, ensure_ascii=False))
                assert (await socket.close_code())[0] == 1009

    async def test_lone_surrogate_is_refused_where_it_stands(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            id = await socket.subscribe(CREATE, {"title": "\ud800"})
            message = await socket.receive()
            assert (message["id"], message["type"]) == (id, "error")
            assert message["payload"][0]["extensions"]["errors"][0]["pointer"] == "/title"
            await socket.send({"id": "\ud800", "type": "subscribe", "payload": REQUEST})
            assert (await socket.close_code())[0] == 4400
        async with opened(server) as socket:
            await socket.send(INIT | {"payload": {"Authorization": "Bearer \ud800"}})
            assert (await socket.close_code())[0] == 4400

    async def test_ping_is_answered_at_any_time(self, server: LiveServer, ada: Person) -> None:
        async with opened(server) as socket:
            for _ in range(2):
                await socket.send({"type": "ping", "payload": {"a": 1}})
                assert await socket.receive() == {"type": "pong"}
                await socket.send({"type": "pong"})
            assert await initialise(socket, ada.headers) == {"type": "connection_ack"}
            await socket.send({"type": "pong", "payload": None})
            await socket.send({"type": "ping"})
            assert await socket.receive() == {"type": "pong"}

    async def test_completing_what_is_over_is_no_error(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            await socket.send({"type": "complete", "id": "never-begun"})
            assert (await socket.run(ME))["data"]
            await socket.send({"type": "complete", "id": "operation-1"})
            assert (await socket.run(ME))["data"]

    async def test_id_is_for_one_operation_at_a_time(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            for _ in range(2):
                await socket.subscribe(ME, id="same")
                assert [(await socket.receive())["type"] for _ in range(2)] == ["next", "complete"]
            await socket.subscribe(FOLLOW, id="same")
            await socket.subscribe(ME, id="same")
            assert await socket.close_code() == (4409, "Subscriber for same already exists")

    async def test_operations_of_a_socket_are_bounded(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            for _ in range(websocket.MAX_OPERATIONS + 1):
                await socket.subscribe(FOLLOW)
            assert await socket.close_code() == (4429, "Too many operations on one socket")


class TestOperations:
    async def test_query_and_mutation_are_answered(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            assert await socket.run(ME) == {"data": {"me": {"databaseId": ada.id}}}
            made = (await socket.run(CREATE, {"title": "x"}))["data"]["createTask"]["task"]
        assert (await ada.get(f"/tasks/{made['databaseId']}")).json()["title"] == "x"

    async def test_several_run_at_once(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            ids = {await socket.subscribe(ME) for _ in range(20)}
            messages = [await socket.receive() for _ in range(40)]
        assert {message["id"] for message in messages if message["type"] == "complete"} == ids
        assert {message["id"] for message in messages if message["type"] == "next"} == ids

    async def test_what_cannot_run_is_an_error_with_codes(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            for query, variables, code in (
                ("{", None, "GRAPHQL_PARSE_FAILED"),
                ("{ nothing }", None, "GRAPHQL_VALIDATION_FAILED"),
                ("subscription { nothing }", None, "GRAPHQL_VALIDATION_FAILED"),
                (CREATE, {}, "BAD_USER_INPUT"),
                ("query A { __typename } query B { __typename }", None, "OPERATION_RESOLUTION_FAILURE"),
                ("{" + "me { id } " * 60 + "}", None, "TOO_EXPENSIVE"),
            ):
                [error, *_] = (await socket.run(query, variables))["refused"]
                assert error["extensions"]["code"] == code
                assert error["extensions"]["requestId"]
            assert (await socket.run(ME))["data"]

    async def test_field_that_is_refused_is_a_part_of_the_result(self, server: LiveServer, ada: Person) -> None:
        async with initialised(server, ada) as socket:
            result = await socket.run('{ me { databaseId } task(id: "x") { title } }')
        assert result["data"] == {"me": {"databaseId": ada.id}, "task": None}
        assert result["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"

    @pytest.mark.parametrize("error", [RuntimeError("hunter2"), KeyError("hunter2"), OSError("hunter2")], ids=repr)
    async def test_unexpected_error_tells_nothing(
        self, server: LiveServer, ada: Person, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(queries, "list_", broken)
        async with initialised(server, ada) as socket:
            result = await socket.run("{ tasks { totalCount } }")
            monkeypatch.setattr(server.state.authenticator, "still", broken)
            refused = await socket.run(ME)
        for [shown] in (result["errors"], refused["refused"]):
            assert shown["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
            assert shown["extensions"]["requestId"]
            assert "hunter2" not in str(shown)

    async def test_each_has_a_context_of_its_own(self, server: LiveServer, ada: Person) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"], tags=["old"])
        query = "query($id: ID!) { task(id: $id) { title tags { name } project { name } } }"
        async with initialised(server, ada) as socket:
            assert (await socket.run(query, {"id": task["node_id"]}))["data"]["task"]["tags"] == [{"name": "old"}]
            await ada.patch(f"/tasks/{task['id']}", {"title": "New", "tags": ["new"]})
            await ada.patch(f"/projects/{project['id']}", {"name": "Renamed"})
            fresh = (await socket.run(query, {"id": task["node_id"]}))["data"]["task"]
        assert fresh == {"title": "New", "tags": [{"name": "new"}], "project": {"name": "Renamed"}}

    async def test_limits_count_operations_not_sockets(self, servers: Servers, backend: str, ada: Person) -> None:
        async with initialised(servers(backend, rate_limit="3/minute"), ada) as socket:
            results = [await socket.run(ME) for _ in range(4)]
        assert ["refused" in result for result in results] == [False, False, False, True]
        [error] = results[-1]["refused"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert error["extensions"]["retryAfter"] >= 1

    async def test_sockets_and_requests_draw_on_one_allowance(
        self, servers: Servers, backend: str, ada: Person
    ) -> None:
        key = await ada.api_key("tasks:read")
        server = servers(backend, rate_limit="4/minute")
        async with httpx.AsyncClient(base_url=server.base_url) as http, initialised(server, ada) as socket:
            for _ in range(2):
                assert "data" in await socket.run(ME)
                assert (await http.get("/users/me", headers=key.headers)).status_code == 200
            assert "refused" in await socket.run(ME)
            assert (await http.get("/users/me", headers=ada.headers)).status_code == 429

    async def test_key_does_what_its_scopes_allow(self, server: LiveServer, ada: Person) -> None:
        key: Anonymous = await ada.api_key("tasks:read")
        async with initialised(server, key) as socket:
            assert (await socket.run("{ tasks { totalCount } }"))["data"]["tasks"]["totalCount"] == 0
            assert (await socket.run(CREATE, {"title": "x"}))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
