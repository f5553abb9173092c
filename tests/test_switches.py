"""What a server shows of itself can be switched off: introspection, the playground, the descriptions of REST."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from db.driver.database import Database
from tests.actors import Anonymous, Person
from tests.conftest import Servers, migrate, settings_for
from tests.doors import another_instance, bearer, calling
from tests.listings import links
from tests.live import LiveServer
from tests.sockets import initialised

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
                for accept, status in (("*/*", 200), ("application/graphql-response+json", 422)):
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

    @pytest.mark.parametrize("shown", [True, False])
    async def test_names_are_suggested_where_it_is_on(self, ada: Person, database: Database, shown: bool) -> None:
        async with another_instance(database, graphql_introspection=shown) as app, calling(app) as anonymous:
            caller = bearer(anonymous, ada.access_token)
            large = {"titel": "x", "description": "x" * 40_000}
            sent: list[tuple[str, str, Any]] = [
                ("POST", "/tasks", {"titel": "x"}),
                ("POST", "/tasks", large),
                ("POST", "/tasks", {"title": "x", "status": "pendin"}),
                ("GET", "/tasks?priorty=1", None),
                ("GET", "/tasks?fields=titel", None),
                ("GET", "/projects?fields=nam", None),
                ("PATCH", "/users/me", {"timezone": "Europe/Viena"}),
            ]
            refusals = [
                await caller.rest(method, path, **({"json": body} if body else {})) for method, path, body in sent
            ]
            filtered = 'query($f: JSON) { me { id } savedViews(filter: {nam: {eq: "x"}}) { totalCount } }'
            answers = [await caller.gql(document) for document in ("{ me { usernam } }", filtered)]
            mutation = "mutation($i: UpdateMeInput!) { updateMe(input: $i) { user { id } } }"
            answers.append(await caller.gql(mutation, {"i": {"timezone": "Europe/Viena"}}))

        texts = [answer.text for answer in refusals] + [str(answer.body) for answer in answers]
        assert ["did you mean" in text.lower() for text in texts] == [shown] * len(texts)

    async def test_sockets_refuse_it_too(self, servers: Servers, backend: str, ada: Person) -> None:
        async with initialised(servers(backend, graphql_introspection=False), ada) as socket:
            for document in INTROSPECTION:
                [error] = (await socket.run(document))["refused"]
                assert error["extensions"]["code"] == "INTROSPECTION_DISABLED"
            assert (await socket.run("{ __typename }"))["data"] == {"__typename": "Query"}


class TestPages:
    @pytest.mark.parametrize(
        ("switch", "setting", "paths"),
        [
            ("graphiql", "GRAPHIQL", ["//graphql"]),
            (
                "api_docs",
                "API_DOCS",
                ["//reference", "//guides", "//docs", "//redoc", "//openapi.json", "//asyncapi.json"],
            ),
        ],
    )
    async def test_off_is_a_404_that_names_the_setting(
        self, database: Database, switch: str, setting: str, paths: list[str]
    ) -> None:
        async with another_instance(database, **{switch: False}) as app, calling(app) as anonymous:
            for path in paths:
                answer = await anonymous.get(path, headers={"Accept": "application/json, text/html"})
                assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
                assert answer.json()["detail"] == f"This is switched off on this server ({setting})"
            # the page that leads there is not shown either
            answer = await anonymous.get("//", headers={"Accept": "text/html"})
            assert answer.headers["content-type"] == "application/json"

    async def test_production_shows_none_unless_told_to(self, database: Database) -> None:
        paths = ["//graphql", "//reference", "//guides", "//docs", "//redoc", "//openapi.json", "//asyncapi.json"]
        for shown in (None, True):
            switches = {"environment": "production", "graphiql": shown, "api_docs": shown}
            async with another_instance(database, **switches) as app, calling(app) as anonymous:
                for path in paths:
                    status = (await anonymous.get(path, headers={"Accept": "text/html"})).status_code
                    assert (status == 404) is (shown is None), path
                places = links(await anonymous.get("//"))
                assert {name not in places for name in ("service-doc", "service-desc")} == {shown is None}
                assert "errors" not in (await anonymous.gql("{ __typename }")).body


class TestSuggestions:
    """What is like a misspelt name is told where the schema is, and nowhere else: of documents by GraphQL's validation,
    of values by the services' sentences, on both doors."""

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
    async def test_are_made_for_documents_where_the_schema_is_shown(
        self, ada: Person, database: Database, document: str, variables: Any
    ) -> None:
        answer = await ada.gql(document, variables)
        # the values of variables are the services' to refuse, and GraphQL knows nothing like these two
        silent = variables is not None or "projectId" in document or "@skp" in document
        assert any("Did you mean" in error["message"] for error in answer.errors) is not silent
        async with another_instance(database, graphql_introspection=False) as app, calling(app) as anonymous:
            hidden = await bearer(anonymous, ada.access_token).gql(document, variables)
        assert hidden.errors
        assert "did you mean" not in str(hidden.body).lower()

    async def test_rest_names_what_was_meant_where_it_is(self, ada: Person, database: Database) -> None:
        switches = {"graphql_introspection": False, "api_docs": False}
        async with another_instance(database, **switches) as app, calling(app) as anonymous:
            hidden = bearer(anonymous, ada.access_token)
            for caller in (ada, hidden):
                for answer, meant in (
                    (await caller.get("/tasks?statu=pending"), "status"),
                    (await caller.post("/tasks", {"titel": "x"}), "title"),
                ):
                    assert answer.status_code == 422
                    assert (f"; did you mean {meant}?" in answer.json()["detail"]) is (caller is ada)


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
