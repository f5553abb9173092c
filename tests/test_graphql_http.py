"""GraphQL over HTTP as its specification has it: media types, methods, statuses, and requests that are none."""

from typing import Any

import httpx
import orjson
import pytest
from graphql import build_client_schema, get_introspection_query

from db.driver.database import Database
from services.shared.node_ids import encode
from services.shared.prices import BUDGET
from tests.actors import GRAPHQL_JSON, PASSWORD, Anonymous, Person
from tests.conftest import SERVER_KEY
from tests.stored import unchanged

JSON = "application/json"
ANY = "*/*"
"""What HTTP libraries send of themselves: clients from before the edition, for all one knows."""
BOTH = pytest.mark.parametrize("accept", [GRAPHQL_JSON, JSON])
EACH = pytest.mark.parametrize("accept", [GRAPHQL_JSON, JSON, ANY])
TYPENAME = {"query": "{ __typename }"}
CREATE = 'mutation { createTask(input: {title: "x"}) { task { id } } }'
TASKS = "{ tasks { edges { node { id } } } }"
SEVERAL = """
    query A { __typename }
    mutation B { createTask(input: {title: "B"}) { task { title } } }
    query C { nothing: __typename }
"""
PAGE = "query($n: Int) { tasks(first: $n) { totalCount } }"
PARTIAL = 294
UNREADABLE = {"GRAPHQL_PARSE_FAILED", "TOO_EXPENSIVE", "BAD_REQUEST"}
REQUEST_ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "syntax": ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
    "unknown field": ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
    "unknown argument": ({"query": "{ me(x: 1) { id } }"}, "GRAPHQL_VALIDATION_FAILED"),
    "conflicting fields": ({"query": "{ a: __typename a: me { id } }"}, "GRAPHQL_VALIDATION_FAILED"),
    "type system": ({"query": "type Query { a: Int }"}, "OPERATION_RESOLUTION_FAILURE"),
    "no operation": ({"query": "fragment F on Query { __typename }"}, "OPERATION_RESOLUTION_FAILURE"),
    "several operations": ({"query": "query A { __typename } query B { __typename }"}, "OPERATION_RESOLUTION_FAILURE"),
    "other name": (TYPENAME | {"operationName": "A"}, "OPERATION_RESOLUTION_FAILURE"),
    "lacking variable": ({"query": "query($id: ID!) { node(id: $id) { id } }"}, "BAD_USER_INPUT"),
    "wrong variable": ({"query": PAGE, "variables": {"n": "x"}}, "BAD_USER_INPUT"),
    "number of 5,000 digits": ({"query": PAGE.replace("Int", "Int = " + "9" * 5000)}, "GRAPHQL_VALIDATION_FAILED"),
    "too expensive": ({"query": "{ " + "me { id } " * 60 + "}"}, "TOO_EXPENSIVE"),
    "subscription": ({"query": "subscription { taskCreated { id } }"}, "BAD_REQUEST"),
}  # fmt: skip
UNREAD = {
    "no UTF-8": b"\xff",
    "nothing": b"",
    "no JSON": b"{ __typename }",
    "empty query": b'{"query": ""}',
    "blank query": b'{"query": " \\n"}',
    "lone surrogate": b'{"query": "{ a(b: \\"\\ud800\\") }"}',
}
NO_REQUESTS = UNREAD | {
    "text": b'"x"',
    "null": b"null",
    "list": b"[]",
    "batch": b'[{"query": "{ __typename }"}]',
    "number": b"1",
    "float": b"1e3",
    "true": b"true",
    "object": b"{}",
    "no query": b'{"query": null}',
    "misspelt": b'{"Query": "{ __typename }"}',
    "numeric query": b'{"query": 1}',
    "listed query": b'{"query": ["{ __typename }"]}',
    "query as an object": b'{"query": {"a": 1}}',
    "cost as a number": b'{"query": "{ __typename }", "extensions": {"cost": 1}}',
    **{
        f"{part}: {value}": b'{"query": "{ __typename }", "%b": %b}' % (part.encode(), value.encode())
        for part, values in {
            "variables": "[] {} 1 true [{}]",
            "operationName": "[] 1 {} false",
            "extensions": "[] 1 true",
        }.items()
        for value in values.replace("{} 1 true", '"{}" 1 true').split()
    },
}


async def post(caller: Anonymous, body: Any, accept: str | None = GRAPHQL_JSON, **headers: str) -> httpx.Response:
    """POST a body to /graphql; without ``accept``, without that header."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    sent = {"Content-Type": JSON} | caller.headers | {name.replace("_", "-"): value for name, value in headers.items()}
    request = caller.client.build_request("POST", "/graphql", content=content, headers=sent)
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    return await caller.client.send(request)


async def get(caller: Anonymous, accept: str = GRAPHQL_JSON, **parameters: str) -> httpx.Response:
    return await caller.rest("GET", "//graphql", params=parameters, headers={"Accept": accept})


def media_type(answer: httpx.Response) -> str:
    kind, _, charset = answer.headers["content-type"].partition("; ")
    assert charset == "charset=utf-8"
    return str(kind)


def code(answer: httpx.Response) -> str:
    """The code of an answer that is nothing but an error."""
    body = answer.json()
    assert body.get("data") is None
    found: str = body["errors"][0]["extensions"]["code"]
    assert body["errors"][0]["extensions"]["requestId"] == answer.headers["x-request-id"]
    return found


class TestMediaTypes:
    @pytest.mark.parametrize(
        ("accept", "answered"),
        [
            (None, JSON),
            ("", JSON),
            ("*/*", JSON),
            ("application/*", JSON),
            (JSON, JSON),
            (f"{JSON}; charset=utf-8", JSON),
            (GRAPHQL_JSON, GRAPHQL_JSON),
            (GRAPHQL_JSON.upper(), GRAPHQL_JSON),
            (f"{GRAPHQL_JSON}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL_JSON),
            (f"{JSON}, {GRAPHQL_JSON}", GRAPHQL_JSON),
            (f"{GRAPHQL_JSON};q=0.8, {JSON};q=0.9", JSON),
            (f"{GRAPHQL_JSON};q=0.1, */*;q=0.01", GRAPHQL_JSON),
            (f"{GRAPHQL_JSON}, {JSON}, text/event-stream, multipart/mixed", GRAPHQL_JSON),
            ("text/html, */*;q=0.1", JSON),
            (f"{GRAPHQL_JSON};q=0, {JSON}", JSON),
            (f"{JSON};q=nonsense, {GRAPHQL_JSON}", GRAPHQL_JSON),
            ("text/plain, " * 500 + JSON, JSON),
        ],
    )
    async def test_the_client_chooses(self, anonymous: Anonymous, accept: str | None, answered: str) -> None:
        answer = await post(anonymous, TYPENAME, accept)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"{answered}; charset=utf-8"
        assert "Accept" in answer.headers["vary"].split(", ")
        assert answer.json() == {"data": {"__typename": "Query"}}

    @pytest.mark.parametrize(
        "accept", ["text/html", "text/plain", f"{JSON};q=0", "nonsense", ";", ",,,", "text/event-streamx"]
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_nothing_that_it_takes_is_not_acceptable(
        self, anonymous: Anonymous, method: str, accept: str
    ) -> None:
        answer = await (get(anonymous, accept, **TYPENAME) if method == "GET" else post(anonymous, TYPENAME, accept))

        assert (answer.status_code, code(answer)) == (406, "NOT_ACCEPTABLE")
        assert answer.headers["content-type"] == f"{JSON}; charset=utf-8"

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize(
        ("accept", "answered"),
        [
            (["text/html", JSON], JSON),
            ([JSON, GRAPHQL_JSON], GRAPHQL_JSON),
            ([f"{GRAPHQL_JSON};q=0.5", f"text/plain, {JSON};q=0.6"], JSON),
            (["", GRAPHQL_JSON, ""], GRAPHQL_JSON),
        ],
    )
    async def test_lines_of_a_header_are_one(
        self, anonymous: Anonymous, method: str, accept: list[str], answered: str
    ) -> None:
        answers = [
            await anonymous.client.request(
                method,
                "/graphql",
                **({"params": TYPENAME} if method == "GET" else {"json": TYPENAME}),  # type: ignore[arg-type]  # either
                headers=[("Accept", line) for line in lines],
            )
            for lines in (accept, [", ".join(accept)])
        ]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert {answer.headers["content-type"] for answer in answers} == {f"{answered}; charset=utf-8"}

    @BOTH
    async def test_media_type_that_is_given_twice_is_none(self, ada: Person, database: Database, accept: str) -> None:
        twice = [("Content-Type", JSON), ("Content-Type", "application/json; charset=utf-8")]
        headers = [*ada.headers.items(), ("Accept", accept), *twice]
        async with unchanged(database):
            answer = await ada.client.post("/graphql", content=orjson.dumps({"query": CREATE}), headers=headers)

        # before it is known for whom: a problem document, as for a body that is too large
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")

    @pytest.mark.parametrize(
        "media_type",
        ["", "text/plain", "application/graphql", "multipart/form-data", "application/json; charset=utf-16"],
    )
    @BOTH
    async def test_body_of_another_type_is_refused(
        self, ada: Person, database: Database, accept: str, media_type: str
    ) -> None:
        async with unchanged(database):
            answer = await post(ada, {"query": CREATE}, accept, Content_Type=media_type)

        assert (answer.status_code, code(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")

    @pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", 'APPLICATION/JSON;charset="UTF-8"'])
    async def test_json_by_any_of_its_names_is_taken(self, anonymous: Anonymous, media_type: str) -> None:
        assert (await post(anonymous, TYPENAME, Content_Type=media_type)).status_code == 200


class TestRequestErrors:
    @EACH
    @pytest.mark.parametrize(("body", "expected"), REQUEST_ERRORS.values(), ids=REQUEST_ERRORS)
    async def test_operation_that_cannot_run_has_no_data(
        self, ada: Person, accept: str, body: dict[str, Any], expected: str
    ) -> None:
        answer = await post(ada, body, accept)

        if accept == ANY:
            assert (answer.status_code, media_type(answer)) == (200, JSON)
        else:
            assert (answer.status_code, media_type(answer)) == (400 if expected in UNREADABLE else 422, GRAPHQL_JSON)
        assert "data" not in answer.json()
        assert code(answer) == expected
        assert len(answer.content) < 2_000

    @EACH
    @pytest.mark.parametrize("name", NO_REQUESTS)
    async def test_what_is_no_request_is_refused_as_such(self, anonymous: Anonymous, accept: str, name: str) -> None:
        answer = await post(anonymous, NO_REQUESTS[name], accept)

        assert code(answer) == "BAD_REQUEST"
        assert answer.status_code == (400 if name in UNREAD or accept == ANY else 422)
        assert "data" not in answer.json()
        assert answer.headers["content-type"] == f"{JSON if accept == ANY else GRAPHQL_JSON}; charset=utf-8"

    async def test_empty_and_unknown_parts_are_no_matter(self, anonymous: Anonymous) -> None:
        empty = {"variables": None, "operationName": None, "extensions": None}
        for body in (TYPENAME | empty, TYPENAME | {"operationName": ""}, TYPENAME | {"extensions": {"a": 1}, "id": 7}):
            assert (await post(anonymous, body)).json() == {"data": {"__typename": "Query"}}

    @EACH
    async def test_refused_field_is_a_part_of_the_answer(self, ada: Person, accept: str) -> None:
        task = await ada.task()
        query = 'query($id: ID!) { task(id: $id) { title } nothing: task(id: "x") { title } }'
        answer = await post(ada, {"query": query, "variables": {"id": task["node_id"]}}, accept)

        assert answer.status_code == (PARTIAL if accept == GRAPHQL_JSON else 200)
        assert media_type(answer) == (GRAPHQL_JSON if accept == GRAPHQL_JSON else JSON)
        assert answer.json()["data"] == {"task": {"title": task["title"]}, "nothing": None}
        [error] = answer.json()["errors"]
        assert error["path"] == ["nothing"]
        assert error["locations"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"

    async def test_misspelt_field_is_named_and_not_what_it_would_cost(self, ada: Person) -> None:
        page = "first: 100) { edges { node {"
        query = f"{{ projects({page} tasks({page} comments({page} boddy " + "} " * 10
        named = await post(ada, {"query": query})
        assert (named.status_code, code(named)) == (422, "GRAPHQL_VALIDATION_FAILED")
        costly = await post(ada, {"query": query.replace("boddy", "body")})
        assert (costly.status_code, code(costly)) == (400, "TOO_EXPENSIVE")


class TestCost:
    QUERY = "query($n: Int) { tasks(first: $n) { edges { node { id title } } } }"

    async def cost(self, ada: Person, n: int) -> dict[str, Any]:
        body = {"query": self.QUERY, "variables": {"n": n}, "extensions": {"cost": True}}
        answer: dict[str, Any] = (await post(ada, body)).json()["extensions"]["cost"]
        return answer

    async def test_is_told_on_request(self, ada: Person) -> None:
        ten, hundred = await self.cost(ada, 10), await self.cost(ada, 100)

        assert hundred["points"] > ten["points"] > 0
        assert (ten["nodes"], hundred["nodes"]) == (10, 100)
        assert hundred["values"] > ten["values"] > 20
        assert ten["limits"] == {"points": BUDGET, "nodes": 25_000, "values": 200_000}

    async def test_is_not_told_else(self, ada: Person) -> None:
        for extensions in (None, {}, {"cost": False}, {"cost": None}):
            answer = await post(ada, {"query": self.QUERY, "extensions": extensions})
            assert answer.json().keys() == {"data"}

    async def test_is_told_of_a_query_in_the_url(self, ada: Person) -> None:
        answer = await get(ada, query=self.QUERY, extensions='{"cost": true}')
        assert answer.json()["extensions"]["cost"]["nodes"] == 20

    async def test_nested_pages_count_under_each_row(self, ada: Person) -> None:
        page = "first: 100) { edges { node {"
        query = f"{{ projects({page} tasks(first: $n) {{ edges {{ node {{ id " + "} " * 7
        asked = {"query": f"query($n: Int) {query}", "extensions": {"cost": True}}
        most = (await post(ada, asked | {"variables": {"n": 90}})).json()["extensions"]["cost"]
        assert most["nodes"] == 100 + 100 * 90


class TestGet:
    async def test_query_in_the_url_is_answered(self, ada: Person) -> None:
        task = await ada.task()
        query = "query A($id: ID!) { task(id: $id) { title } } query B { __typename }"
        variables = orjson.dumps({"id": task["node_id"]}).decode()
        answer = await get(ada, query=query, variables=variables, operationName="A", extensions="{}")

        assert answer.json() == {"data": {"task": {"title": task["title"]}}}

    @BOTH
    async def test_mutation_is_not_run(self, ada: Person, database: Database, accept: str) -> None:
        async with unchanged(database):
            answer = await get(ada, accept, query=CREATE)
            named = await get(ada, accept, query=SEVERAL, operationName="B")

        for refused in (answer, named):
            assert (refused.status_code, refused.headers["allow"], code(refused)) == (405, "POST", "METHOD_NOT_ALLOWED")

    async def test_subscription_is_not_run(self, ada: Person) -> None:
        answer = await get(ada, query="subscription { taskCreated { id } }")

        assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")

    @pytest.mark.parametrize(
        ("parameters", "status"),
        [
            ({}, 422),
            ({"query": ""}, 400),
            (TYPENAME | {"variables": "{"}, 400),
            (TYPENAME | {"variables": "[]"}, 422),
            (TYPENAME | {"variables": '"x"'}, 422),
            (TYPENAME | {"variables": "NaN"}, 422),
            (TYPENAME | {"extensions": "1"}, 422),
        ],
        ids=str,
    )
    @EACH
    async def test_what_is_no_request_is_refused(
        self, anonymous: Anonymous, accept: str, parameters: dict[str, str], status: int
    ) -> None:
        answer = await get(anonymous, accept, **parameters)

        assert (answer.status_code, code(answer)) == (400 if accept == ANY else status, "BAD_REQUEST")

    @BOTH
    @pytest.mark.parametrize("part", ["query", "variables", "operationName", "extensions"])
    async def test_part_that_is_given_twice_is_refused_by_name(
        self, anonymous: Anonymous, accept: str, part: str
    ) -> None:
        parts = [("query", "{ __typename }"), (part, "{}" if part != "query" else "{ __typename }"), (part, "{}")]
        answer = await anonymous.rest("GET", "//graphql", params=parts, headers={"Accept": accept})

        assert (answer.status_code, code(answer)) == (422, "BAD_REQUEST")
        assert answer.json()["errors"][0]["message"] == f"{part} is there more than once, and takes one value"

    async def test_browser_gets_the_playground_and_a_query_its_answer(self, anonymous: Anonymous) -> None:
        html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

        assert (await get(anonymous, html)).headers["content-type"].startswith("text/html")
        assert (await get(anonymous, html, **TYPENAME)).json() == {"data": {"__typename": "Query"}}

    async def test_head_answers_without_a_body(self, anonymous: Anonymous) -> None:
        answer = await anonymous.rest("HEAD", "//graphql", params=TYPENAME, headers={"Accept": GRAPHQL_JSON})

        assert (answer.status_code, answer.content) == (200, b"")


class TestCallers:
    CREDENTIALS = ("Bearer x", "Bearer ", "Basic YTpi", "x", "Bearer a.b.c")

    @BOTH
    @pytest.mark.parametrize("authorization", CREDENTIALS)
    @pytest.mark.parametrize("query", ["{ __typename }", TASKS, "{"])
    async def test_bad_token_is_refused_whatever_is_asked(
        self, anonymous: Anonymous, accept: str, authorization: str, query: str
    ) -> None:
        holder = Anonymous(anonymous.client, {"Authorization": authorization})
        for answer in (await post(holder, {"query": query}, accept), await get(holder, accept, query=query)):
            assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")
            told = answer.headers["www-authenticate"]
            assert told.startswith('Bearer error="invalid_token"' if authorization.startswith("Bearer") else "Bearer")
            assert ("error" in told) == authorization.startswith("Bearer")
            assert media_type(answer) == GRAPHQL_JSON
            assert "data" not in answer.json()

    @BOTH
    async def test_bad_key_is_forbidden(self, anonymous: Anonymous, accept: str) -> None:
        answer = await post(anonymous, TYPENAME, accept, X_API_Key="x")

        assert (answer.status_code, code(answer)) == (403, "FORBIDDEN")
        assert (await post(anonymous, TYPENAME, accept, X_API_Key=SERVER_KEY)).status_code == 200

    @BOTH
    @pytest.mark.parametrize("query", [TASKS, CREATE, f'{{ __typename task(id: "{encode("Task", 1)}") {{ id }} }}'])
    async def test_protected_field_wants_a_caller(
        self, anonymous: Anonymous, database: Database, accept: str, query: str
    ) -> None:
        async with unchanged(database):
            answer = await post(anonymous, {"query": query}, accept)

        assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "data" not in answer.json()

    @BOTH
    async def test_wrong_password_is_a_401(self, ada: Person, accept: str) -> None:
        login = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
        for password, status in ((PASSWORD, 200), ("wrong", 401)):
            variables = {"input": {"username": ada.username, "password": password}}
            answer = await post(Anonymous(ada.client), {"query": login, "variables": variables}, accept)
            assert answer.status_code == status

    async def test_anybody_may_read_the_schema(self, anonymous: Anonymous) -> None:
        query = get_introspection_query(
            specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
        )
        answer = await anonymous.gql(query)

        schema = build_client_schema(answer.data)
        assert schema.query_type
        assert schema.mutation_type
        assert schema.subscription_type


class TestOperations:
    async def test_the_named_one_runs_alone(self, ada: Person, database: Database) -> None:
        async with unchanged(database):
            for name, data in (("A", {"__typename": "Query"}), ("C", {"nothing": "Query"})):
                assert (await ada.gql(SEVERAL, operationName=name)).data == data
        assert (await ada.gql(SEVERAL, operationName="B")).data == {"createTask": {"task": {"title": "B"}}}

    @pytest.mark.parametrize("name", ["D", "a", None, ""])
    async def test_any_other_name_is_refused(self, ada: Person, database: Database, name: str | None) -> None:
        async with unchanged(database):
            answer = await ada.gql(SEVERAL, operationName=name)

        assert (answer.status, answer.code) == (422, "OPERATION_RESOLUTION_FAILURE")

    async def test_variables_are_those_of_the_named_one(self, anonymous: Anonymous) -> None:
        query = f"query A($a: Boolean!) {{ __typename @include(if: $a) }} {PAGE.replace('query', 'query B')}"
        answer = await anonymous.gql(query, {"a": True}, operationName="A")

        assert answer.data == {"__typename": "Query"}
