"""QUERY (RFC 10008) on the list of tasks, with the filter as its body, and POST …/query for whoever lacks it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from db.driver.database import Database
from tests.actors import Anonymous, Person
from tests.conftest import settings_for
from tests.live import LiveServer
from tests.stored import unchanged

WAYS = {"QUERY": ("QUERY", "/tasks"), "POST": ("POST", "/tasks/query"), "unversioned": ("QUERY", "//tasks")}
EACH_WAY = pytest.mark.parametrize("way", WAYS)
FILTER = {"or": [{"priority": {"gte": 4}}, {"tags": {"any": ["bug"]}}]}


async def query(caller: Anonymous, way: str, body: Any = FILTER, **options: Any) -> httpx.Response:
    method, path = WAYS[way]
    return await caller.rest(method, path, **({"json": body} | options))


@pytest.fixture
async def tasks(ada: Person) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = [{"priority": 5}, {"priority": 1}, {"tags": ["bug"]}, {"priority": 4}]
    return [await ada.task(title=title, **each) for title, each in zip("abcd", fields, strict=True)]


class TestAnswers:
    @EACH_WAY
    async def test_are_those_of_get(self, ada: Person, tasks: list[dict[str, Any]], way: str) -> None:
        parameters = {"sort_by": "title", "order": "asc", "expand": "tags", "total": "true"}
        expected = await ada.get("/tasks", params=parameters | {"filter": json.dumps(FILTER)})
        found = await query(ada, way, params=parameters)

        assert (found.status_code, found.json()) == (200, expected.json())
        assert [task["title"] for task in found.json()] == ["a", "c", "d"]
        assert found.headers["x-total-count"] == "3"

    @EACH_WAY
    async def test_stand_in_the_same_envelope(self, ada: Person, tasks: list[dict[str, Any]], way: str) -> None:
        parameters = {"envelope": "true", "limit": "2"}
        expected = await ada.get("/tasks", params=parameters | {"filter": json.dumps(FILTER)})
        found = await query(ada, way, params=parameters)

        assert (found.status_code, list(found.json())) == (200, list(expected.json()))
        assert found.json()["tasks"] == expected.json()["tasks"]

    @EACH_WAY
    async def test_pages_follow_with_the_same_body(self, ada: Person, tasks: list[dict[str, Any]], way: str) -> None:
        method, _ = WAYS[way]
        page = await query(ada, way, params={"limit": "2", "sort_by": "title", "order": "asc"})
        following = page.links["next"]["url"]
        rest = await ada.client.request(method, following, json=FILTER, headers=ada.headers)

        assert [task["title"] for task in (*page.json(), *rest.json())] == ["a", "c", "d"]
        assert page.headers["x-next-cursor"] in following
        assert "next" not in rest.links

    @EACH_WAY
    async def test_flat_parameters_hold_besides(self, ada: Person, tasks: list[dict[str, Any]], way: str) -> None:
        assert [task["title"] for task in (await query(ada, way, params={"priority": "5"})).json()] == ["a"]
        assert len((await query(ada, way, {})).json()) == 4

    @EACH_WAY
    async def test_nothing_changes(self, ada: Person, database: Database, way: str) -> None:
        async with unchanged(database):
            assert (await query(ada, way)).status_code == 200

    @EACH_WAY
    async def test_a_long_filter_needs_no_escaping(self, ada: Person, tasks: list[dict[str, Any]], way: str) -> None:
        long = {"title": {"in": ["a", *(f"{'é' * 100} {number}" for number in range(35))]}}
        assert [task["title"] for task in (await query(ada, way, long)).json()] == ["a"]


class TestRefusals:
    @EACH_WAY
    @pytest.mark.parametrize(
        ("options", "status", "code"),
        [
            ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "BAD_REQUEST"),
            ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "UNSUPPORTED_MEDIA_TYPE"),
            ({"content": b"{}"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
            ({"content": b""}, 422, "BAD_USER_INPUT"),
            ({"json": []}, 422, "BAD_USER_INPUT"),
            ({"json": {"priority": {"gte": "high"}}}, 422, "BAD_USER_INPUT"),
            ({"json": {}, "params": {"filter": "{}"}}, 422, "BAD_USER_INPUT"),
            ({"json": {}, "params": {"nothing": "1"}}, 422, "BAD_USER_INPUT"),
            ({"json": {}, "headers": {"Idempotency-Key": "a"}}, 422, "BAD_USER_INPUT"),
        ],
        ids=str,
    )
    async def test_what_does_not_hold(
        self, ada: Person, way: str, options: dict[str, Any], status: int, code: str
    ) -> None:
        method, path = WAYS[way]
        answer = await ada.rest(method, path, **options)

        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        if status == 415:
            assert answer.headers["accept"] == "application/json"

    @EACH_WAY
    async def test_a_fault_of_the_filter_is_pointed_at_in_the_body(self, ada: Person, way: str) -> None:
        answer = await query(ada, way, {"priority": {"gte": "high"}})
        [problem] = answer.json()["errors"]
        assert (problem["location"], problem["pointer"]) == ("body", "/priority/gte")

    @EACH_WAY
    async def test_nobody_may(self, anonymous: Anonymous, way: str) -> None:
        assert (await query(anonymous, way)).status_code == 401


class TestDiscovery:
    async def test_the_list_says_that_it_can_be_queried(self, ada: Person) -> None:
        for answer in (await ada.get("/tasks"), await ada.rest("HEAD", "/tasks"), await query(ada, "QUERY")):
            assert answer.headers["accept-query"] == "application/json"
        assert "accept-query" not in (await ada.get("/users/me")).headers

    async def test_allow_names_it_where_it_is_and_nowhere_else(self, ada: Person) -> None:
        refused = await ada.delete("/tasks")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST, QUERY")
        elsewhere = await ada.rest("QUERY", "/users/me", json={})
        assert (elsewhere.status_code, elsewhere.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
        assert "QUERY" not in elsewhere.headers["allow"]

    async def test_pages_may_ask_so(self, anonymous: Anonymous) -> None:
        asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "QUERY"}
        answer = await anonymous.rest("OPTIONS", "/tasks", headers=asked)
        assert answer.status_code == 200
        assert "QUERY" in answer.headers["access-control-allow-methods"].split(", ")

    def test_the_document_describes_what_its_version_can(self, openapi: dict[str, Any]) -> None:
        paths = openapi["paths"]
        assert not any("query" in item for item in paths.values())
        twin = paths["/api/v1/tasks/query"]["post"]
        assert "QUERY /tasks" in twin["description"]
        lists = [path.removesuffix("/query") for path in paths if path.endswith("/query")]
        assert len(lists) > 15
        for path in lists:
            assert (
                f"QUERY (RFC 10008) at this address takes the filter as a JSON body, as POST {path}/query does."
                in (paths[path]["get"]["description"])
            )
        schema = twin["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/TaskFilter"}


@pytest.fixture(scope="module")
def server(database_urls: dict[str, str]) -> Iterator[LiveServer]:
    with LiveServer(settings_for(database_urls["sqlite"])) as live:
        yield live


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_server_hears_the_method(server: LiveServer, ada: Person, tasks: list[dict[str, Any]]) -> None:
    async with httpx.AsyncClient(base_url=server.base_url) as http:
        for _ in range(2):  # on one connection
            answer = await http.request("QUERY", "/api/v1/tasks", json=FILTER, headers=ada.headers)
            assert (answer.status_code, len(answer.json())) == (200, 3)
