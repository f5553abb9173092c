"""Below a prefix, behind a proxy that takes it away or leaves it: every address that is answered leads back there."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from websockets.sync.client import connect

from api.http.addresses import settle
from tests.actors import PASSWORD, Person
from tests.conftest import migrate, settings_for
from tests.listings import links
from tests.live import LiveServer
from tests.sockets import PROTOCOL

ROOT = "/tandem"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("root", "path", "settled"),
    [
        ("/tandem", "/tandem/api/x", ("/tandem", "/tandem/api/x")),
        ("/tandem", "/api/x", ("/tandem", "/tandem/api/x")),
        ("/tandem", "/tandem/tandem/api/x", ("/tandem", "/tandem/api/x")),
        ("/tandem", "/tandemx/api", ("/tandem", "/tandem/tandemx/api")),
        ("/tandem", "/tandem", ("/tandem", "/tandem/")),
        ("/tandem", "/tandem//api", ("/tandem", "/tandem//api")),
        ("/tandem/", "/tandem//api/x", ("/tandem", "/tandem/api/x")),
        ("/tandem/", "/tandem/api/x", ("/tandem", "/tandem/api/x")),
        ("tandem", "tandem/api/x", ("/tandem", "/tandem/api/x")),
        ("/a/b", "/a/b/a/b/api", ("/a/b", "/a/b/api")),
        # what begins like one of the application's own paths may be one
        ("/api", "/api/api/v1", ("/api", "/api/api/v1")),
        ("/", "//api/x", ("", "/api/x")),
        ("/", "/api/x", ("", "/api/x")),
    ],
)
def test_path_begins_with_the_prefix_once(root: str, path: str, settled: tuple[str, str]) -> None:
    scope = {"root_path": root, "path": path}
    settle(scope, {"", "api"})
    assert (scope["root_path"], scope["path"]) == settled


@asynccontextmanager
async def below(app: FastAPI, person: Person, root: str, *, prepended: str) -> AsyncIterator[Person]:
    """The person, calling the application of a server that has a root path, and puts some text before every path."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await app(dict(scope) | {"root_path": root, "path": prepended + scope["path"]}, receive, send)

    transport = httpx.ASGITransport(served, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Person(client, person.headers, id=person.id)


# by server and proxy: the prefix in what the client sends on, and what the server puts before it
WAYS = {
    "uvicorn, stripped": ("", ROOT),
    "uvicorn, left": (ROOT, ROOT),
    "another server, stripped": ("", ""),
    "another server, left": (ROOT, ""),
}


class TestLinks:
    @pytest.mark.parametrize("way", WAYS)
    async def test_every_address_has_the_prefix(self, app: FastAPI, ada: Person, way: str) -> None:
        sent, prepended = WAYS[way]
        async with below(app, ada, ROOT, prepended=prepended) as there:
            ask = there.client.request
            for version in ("", "/api/v1"):
                made = await ask("POST", f"{sent}{version}/tasks", headers=ada.headers, json={"title": "x"})
                assert made.headers["location"] == f"{ROOT}/api/v1/tasks/{made.json()['id']}"
                page = await ask("GET", f"{sent}{version}/tasks?limit=1&search=x", headers=ada.headers)
                assert links(page)["first"] == f"{ROOT}{version}/tasks?limit=1&search=x"
            page = await ask("GET", f"{sent}/tasks?limit=1", headers=ada.headers)
            assert links(page)["next"].startswith(f"{ROOT}/tasks?limit=1&cursor=")
            places = links(await ask("GET", f"{sent}/"))
            assert [*places.values()] == [
                f"{ROOT}/{name}" for name in ("api/v1", "graphql", "reference", "openapi.json")
            ]
            refused = await ask("TRACE", f"{sent}/api/v1/tasks")
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST, QUERY")
            assert (await ask("GET", f"{sent}/nowhere")).status_code == 404

    async def test_every_location_has_it(self, app: FastAPI, ada: Person, bob: Person) -> None:
        task = await ada.task()
        project = await ada.project()
        other = await ada.task()
        async with below(app, ada, ROOT, prepended=ROOT) as there:
            for path, values in (
                ("/projects", {"name": "P"}),
                (f"/projects/{project['id']}/members", {"username": bob.username}),
                (f"/projects/{project['id']}/tags", {"name": "bug"}),
                (f"/tasks/{task['id']}/comments", {"body": "x"}),
                (f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": other["id"]}),
                ("/saved-views", {"name": "x"}),
                ("/users", {"username": f"{ada.username}x", "email": f"x{ada.email}", "password": PASSWORD}),
            ):
                made = await there.post(path, values)
                assert made.status_code == 201, made.text
                location = made.headers["location"]
                assert location.startswith(f"{ROOT}/api/v1/"), path
                assert (await there.client.get(location.removeprefix(ROOT), headers=ada.headers)).status_code == 200

    async def test_openapi_document_has_it(self, app: FastAPI, ada: Person) -> None:
        plain = (await ada.get("//openapi.json")).json()
        async with below(app, ada, ROOT, prepended=ROOT) as there:
            document = (await there.get("//openapi.json")).json()

        def password(document: Any) -> Any:
            return document["components"]["securitySchemes"]["PasswordAuth"]["flows"]["password"]

        assert [server["url"] for server in document["servers"]] == [ROOT]
        for name in ("tokenUrl", "refreshUrl"):
            assert password(document)[name] == ROOT + password(plain)[name]
        # nothing else is another one, nor is the document of those who come without
        document["servers"] = plain["servers"]
        password(document).update(password(plain))
        assert document == plain == (await ada.get("//openapi.json")).json()
        assert re.findall(r"\]\(/[^)]*\)", json.dumps(plain)) == []

    async def test_pages_name_no_address_from_the_root(self, app: FastAPI, ada: Person) -> None:
        async with below(app, ada, ROOT, prepended=ROOT) as there:
            for path in ("//", "//reference", "//guides", "//docs", "//redoc", "//graphql"):
                text = (await there.get(path, headers={"Accept": "text/html"})).text
                found = re.findall(r'(?:href|src|action)="([^"]*)"', text)
                assert found
                assert not [address for address in found if address.startswith("/")], path

    async def test_prefix_is_escaped_in_an_address(self, app: FastAPI, ada: Person) -> None:
        for root, escaped in (("/a b", "/a%20b"), ("/é", "/%C3%A9"), ("/a%20b", "/a%20b")):
            async with below(app, ada, root, prepended=root) as there:
                made = await there.post("/tasks", {"title": "x"})
                assert made.headers["location"].startswith(f"{escaped}/api/v1/tasks/")
                assert links(await there.get("/tasks"))["first"] == f"{escaped}/api/v1/tasks"

    async def test_host_that_is_made_up_comes_into_no_address(self, ada: Person) -> None:
        made = await ada.post("/tasks", {"title": "x"}, headers={"Host": "evil.example.com"})
        page = await ada.get("/tasks", headers={"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"})
        document = await ada.get("//openapi.json", headers={"Host": "evil.example.com"})

        assert "evil" not in made.headers["location"] + page.headers["link"] + document.text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    url = f"sqlite:///{tmp_path_factory.mktemp('root') / 'root.db'}"
    migrate(url)
    with LiveServer(settings_for(url), root_path=ROOT) as live:
        account = {"username": "below", "email": "below@example.com", "password": PASSWORD}
        assert httpx.post(f"{live.base_url}/users", json=account).status_code == 201
        yield live


@pytest.mark.parametrize("sent", ["", ROOT], ids=["stripped", "left"])
class TestServer:
    def headers(self, server: LiveServer, sent: str) -> dict[str, str]:
        form = {"username": "below", "password": PASSWORD}
        token = httpx.post(f"{server.base_url}{sent}/token", data=form).json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    def test_rest(self, server: LiveServer, sent: str) -> None:
        headers = self.headers(server, sent)
        made = httpx.post(f"{server.base_url}{sent}/api/v1/tasks", json={"title": "x"}, headers=headers)
        page = httpx.get(f"{server.base_url}{sent}/tasks?limit=1", headers=headers)

        assert made.headers["location"] == f"{ROOT}/api/v1/tasks/{made.json()['id']}"
        assert links(page)["first"] == f"{ROOT}/tasks?limit=1"

    def test_graphql_and_its_streams(self, server: LiveServer, sent: str) -> None:
        address, headers = f"{server.base_url}{sent}/graphql", self.headers(server, sent)
        query = {"query": "{ me { username } }"}
        expected = {"data": {"me": {"username": "below"}}}

        assert httpx.post(address, json=query, headers=headers).json() == expected
        stream = httpx.get(address, params=query, headers=headers | {"Accept": "text/event-stream"})
        assert json.dumps(expected, separators=(",", ":")) in stream.text
        socket_address = address.replace("http:", "ws:", 1)
        with connect(socket_address, subprotocols=[PROTOCOL], additional_headers=headers) as socket:  # type: ignore[list-item]  # a NewType
            socket.send(json.dumps({"type": "connection_init", "payload": headers}))
            assert json.loads(socket.recv(timeout=10))["type"] == "connection_ack"
            socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": query}))
            assert json.loads(socket.recv(timeout=10))["payload"] == expected

    def test_pages_and_what_they_load(self, server: LiveServer, sent: str) -> None:
        page = httpx.get(f"{server.base_url}{sent}/", headers={"Accept": "text/html"})
        found = re.findall(r'(?:href|src)="(assets/[^"]*)"', page.text)

        assert found
        for address in found:
            assert httpx.get(f"{server.base_url}{sent}/{address}").status_code == 200
