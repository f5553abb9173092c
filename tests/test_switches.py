"""What a server shows of itself can be switched off: introspection, the playground, the descriptions of REST."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from db.engine import Database
from tests.actors import Anonymous, Person
from tests.conftest import migrate, settings_for
from tests.doors import another_instance, bearer, calling
from tests.live import LiveServer
from tests.sockets import Servers, initialised

INTROSPECTION = [
    "{ __schema { queryType { name } } }",
    '{ __type(name: "Task") { name } }',
    '{ a: __type(name: "Task") { name } me { id } }',
    "{ ...f } fragment f on Query { __schema { queryType { name } } }",
    '{ ... on Query { __type (name: "Task") { name } } }',
]
NAMED = ["{ __typename }", "{ me { id } search: me { n: username } } # __schema", "{ me { __typename } }"]


class TestIntrospection:
    @pytest.mark.parametrize("document", INTROSPECTION)
    async def test_off_is_refused_by_name(self, ada: Person, database: Database, document: str) -> None:
        async with another_instance(database, graphql_introspection=False) as app, calling(app) as anonymous:
            for caller in (anonymous, bearer(anonymous, ada.access_token)):
                for accept, status in (("application/json", 200), ("application/graphql-response+json", 400)):
                    answer = await caller.gql(document, headers={"Accept": accept})
                    assert (answer.status, answer.code) == (status, "INTROSPECTION_DISABLED")
                    assert "GRAPHQL_INTROSPECTION" in answer.errors[0]["message"]
                    assert "data" not in answer.body
            stream = await anonymous.rest(
                "POST", "//graphql", json={"query": document}, headers={"Accept": "text/event-stream"}
            )
            assert "INTROSPECTION_DISABLED" in stream.text

    @pytest.mark.parametrize("document", NAMED)
    async def test_what_only_looks_like_it_is_answered(self, ada: Person, database: Database, document: str) -> None:
        async with another_instance(database, graphql_introspection=False) as app, calling(app) as anonymous:
            assert "errors" not in (await bearer(anonymous, ada.access_token).gql(document)).body

    async def test_production_answers_it_where_it_is_switched_on(self, ada: Person, database: Database) -> None:
        production = {"environment": "production", "debug": False}
        async with another_instance(database, **production) as app, calling(app) as anonymous:
            assert (await anonymous.gql(INTROSPECTION[0])).code == "INTROSPECTION_DISABLED"
        async with another_instance(database, **production, graphql_introspection=True) as app, calling(app) as caller:
            assert "errors" not in (await caller.gql(INTROSPECTION[0])).body

    async def test_sockets_refuse_it_too(self, servers: Servers, backend: str, ada: Person) -> None:
        async with initialised(servers(backend, graphql_introspection=False), ada) as socket:
            for document in INTROSPECTION:
                [error] = (await socket.run(document))["refused"]
                assert error["extensions"]["code"] == "INTROSPECTION_DISABLED"
            assert (await socket.run("{ __typename }"))["data"] == {"__typename": "Query"}


class TestPages:
    @pytest.mark.parametrize(
        ("switch", "setting", "paths"),
        [("graphiql", "GRAPHIQL", ["//graphql"]), ("api_docs", "API_DOCS", ["//docs", "//redoc", "//openapi.json"])],
    )
    async def test_off_is_a_404_that_names_the_setting(
        self, database: Database, switch: str, setting: str, paths: list[str]
    ) -> None:
        async with another_instance(database, **{switch: False}) as app, calling(app) as anonymous:
            for path in paths:
                answer = await anonymous.get(path, headers={"Accept": "text/html"})
                assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
                assert answer.json()["detail"] == f"This is switched off on this server ({setting})"
            # the page that leads there is not shown either
            answer = await anonymous.get("//", headers={"Accept": "text/html"})
            assert answer.headers["content-type"] == "application/json"

    async def test_production_shows_none_unless_told_to(self, database: Database) -> None:
        paths = ["//graphql", "//docs", "//redoc", "//openapi.json"]
        for shown in (None, True):
            switches = {"environment": "production", "graphiql": shown, "api_docs": shown}
            async with another_instance(database, **switches) as app, calling(app) as anonymous:
                for path in paths:
                    status = (await anonymous.get(path, headers={"Accept": "text/html"})).status_code
                    assert (status == 404) is (shown is None), path
                welcome = (await anonymous.get("//")).json()
                assert {welcome[name] is None for name in ("docs", "openapi")} == {shown is None}
                assert "errors" not in (await anonymous.gql("{ __typename }")).body


class TestSuggestions:
    """None anywhere: what is like a name that was asked for is told by nobody."""

    @pytest.mark.parametrize(
        ("document", "variables"),
        [
            ("{ tsks { totalCount } }", None),
            ("{ tasks(frst: 1) { totalCount } }", None),
            ("{ tasks(orderBy: {fied: TITLE}) { totalCount } }", None),
            ('mutation { createTask(input: {titel: "x"}) { task { id } } }', None),
            ("{ tasks(filter: {status: {eq: PENDNG}}) { totalCount } }", None),
            ("query($f: TskFilter) { tasks(filter: $f) { totalCount } }", None),
            ("{ ... on Quer { me { id } } }", None),
            ("query($f: TaskFilter) { tasks(filter: $f) { totalCount } }", {"f": {"statu": {"eq": "PENDING"}}}),
            ("query($f: TaskFilter) { tasks(filter: $f) { totalCount } }", {"f": {"status": {"eq": "PENDNG"}}}),
            ("subscription { taskCreatd { id } }", None),
            ("subscription { taskCreated(projectId: PENDNG) { id } }", None),
            ("{ me @skp(if: true) { id } }", None),
        ],
    )
    async def test_are_not_made(self, ada: Person, document: str, variables: Any) -> None:
        answer = await ada.gql(document, variables)
        assert answer.errors
        assert "did you mean" not in str(answer.body).lower()

    async def test_nor_on_rest(self, ada: Person) -> None:
        for answer in (await ada.get("/tasks?statu=pending"), await ada.post("/tasks", {"titel": "x"})):
            assert answer.status_code == 422
            assert "did you mean" not in answer.text.lower()


@pytest.fixture(scope="module")
def servers(database_urls: dict[str, str]) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, database_urls)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('production') / 'test.db'}"
    migrate(url)
    with LiveServer(settings_for(url, environment="production")) as server:
        yield server.base_url


async def test_server_in_production_answers_what_it_is_for(production: str) -> None:
    async with httpx.AsyncClient(base_url=production) as client:
        anonymous = Anonymous(client)
        assert (await anonymous.get("//health")).status_code == 200
        assert (await anonymous.gql("{ me { id } }")).code == "UNAUTHENTICATED"
