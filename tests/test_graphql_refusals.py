"""What is refused of arguments: the same problems on both doors, all at once, in the same words."""

import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from graphql import (
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_required_input_field,
    parse,
    validate,
)
from graphql.utilities import coerce_input_value
from pydantic import TypeAdapter
from strawberry.utils.str_converters import to_snake_case

from db.driver.database import Database
from graphql_schema.execution.errors import RefusedArguments
from graphql_schema.execution.refusals import Refusals
from graphql_schema.execution.variables import argument_pointer
from graphql_schema.schema import schema
from services.shared.node_ids import encode
from tests.actors import GRAPHQL_JSON, Anonymous, Person
from tests.examples import IDS, body_model, new
from tests.operations import ACCOUNTS, OPERATIONS
from tests.stored import unchanged

Problems = list[tuple[str, str, str]]
"""Where, what and of which type, in REST's spelling."""
ROUNDS = 16
SURROGATE = "a\ud800"
# the bodies of these are one and the same on REST, or are given in the path
OUTSIDE = {"id", "expectedVersion", "idempotencyKey", "notify"}
# in the path as they are
NAMES = {"external_source": "jira", "external_id": "WEB-1"}
BODIES = {
    **{name: (each.rest, each.graphql, each.id) for name, each in OPERATIONS.items()},
    **{name: (each.rest, each.graphql, "id" if each.id_in_input else "") for name, each in ACCOUNTS.items()},
    "register_user": (
        "POST /users",
        "mutation($input: RegisterInput!) { register(input: $input) { user { id } } }",
        "",
    ),
}
BODIES = {
    name: each
    for name, each in BODIES.items()
    if "$input" in each[1] and each[0].split()[0] != "DELETE" and body_model(name) is not None
}


async def send_rest(caller: Anonymous, method: str, path: str, body: Any) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return await caller.rest(method, path, content=json.dumps(body).encode(), headers=headers)


async def send_graphql(caller: Anonymous, query: str, variables: Any) -> httpx.Response:
    content = json.dumps({"query": query, "variables": variables}).encode()
    headers = caller.headers | {"Content-Type": "application/json", "Accept": GRAPHQL_JSON}
    return await caller.client.post("/graphql", content=content, headers=headers)


def on_rest(answer: httpx.Response) -> tuple[str | None, Problems]:
    body = answer.json()
    if answer.status_code < 400:
        return None, []
    return body["code"], [(item["pointer"], _by_names(item), item["type"]) for item in body["errors"]]


def on_graphql(answer: httpx.Response) -> tuple[str | None, Problems]:
    """The code and the problems of the only error."""
    body = answer.json()
    if "errors" not in body:
        return None, []
    [error] = body["errors"]
    problems = error["extensions"].get("errors", [])
    return error["extensions"]["code"], [
        ("/".join(map(to_snake_case, item["pointer"].split("/"))), _in_snake_case(item), item["type"])
        for item in problems
    ]


def _by_names(problem: dict[str, str]) -> str:
    """The sentence, with the values of an enumeration spelt neither as REST's nor as GraphQL's."""
    return problem["detail"].lower().replace(":", "_") if problem["type"] == "enum" else problem["detail"]


def _in_snake_case(problem: dict[str, str]) -> str:
    """The sentence, with the names of fields as REST has them, but for the one that is meant by a misspelt one."""
    sentence = _by_names(problem)
    if problem["type"] == "extra_forbidden":
        return sentence
    return re.sub(r"\b[a-z]+(?:[A-Z][a-z]+)+\b", lambda match: to_snake_case(match[0]), sentence)


def input_type(query: str) -> GraphQLInputObjectType:
    [definition] = re.findall(r"\$input: (\w+)", query)
    type_ = schema._schema.type_map[definition]
    assert isinstance(type_, GraphQLInputObjectType)
    return type_


def values(type_: Any, chance: random.Random, depth: int = 0) -> tuple[Any, Any]:
    """A value that is wrong or may be, in REST's and in GraphQL's spelling.

    None that the specification of GraphQL takes for right: one thing where a list is wanted, a number for an ID.
    """
    type_ = get_nullable_type(type_)
    wrong: list[Any] = [None, "x", SURROGATE, "", 1.5, True, {}, {"a": 1}, -1, 2**31, 10**30, float("nan"), 0]
    if is_list_type(type_):
        if chance.random() < 0.2:
            return None, None
        sizes = [1, 2] if is_input_object_type(get_named_type(type_)) else [0, 1, 2, 51, 101, 1001]
        several = [values(type_.of_type, chance, depth) for _ in range(chance.choice(sizes))]
        return [rest for rest, _ in several], [graphql for _, graphql in several]
    if is_input_object_type(type_):
        if chance.random() < 0.3 or depth > 2:
            value = chance.choice([None, "x", 1, 1.5, True, [], [1]])
            return value, value
        return body(type_, chance, depth + 1)
    if is_enum_type(type_):
        wrong += ["NOPE", [], 7]
    elif type_.name == "ID":
        wrong = [value for value in wrong if isinstance(value, (str, bool, dict, type(None))) or value == 1.5]
        wrong += [encode("Event", 1), encode("Task", 0), encode("User", -1), encode("Project", 2**40), [1]]
    else:
        wrong += ["2026-01-31", "2026-01-31T12:00:00", "x" * 300, "\0", [], ["x"], 5, 2.0]
    value = chance.choice(wrong)
    return value, value


def body(type_: GraphQLInputObjectType, chance: random.Random, depth: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    rest: dict[str, Any] = {}
    graphql: dict[str, Any] = {}
    for name, field in type_.fields.items():
        if depth == 0 and name in OUTSIDE:
            continue
        if chance.random() < (0.7 if is_required_input_field(field) else 0.4):
            rest[to_snake_case(name)], graphql[name] = values(field.type, chance, depth)
    if chance.random() < 0.5:
        rest["bogus"] = graphql["bogus"] = chance.choice([1, None, "x", {}])
    return rest, graphql


@pytest.fixture
async def ids(ada: Person) -> dict[str, int]:
    known = {"project_id": (await ada.project())["id"], "user_id": ada.id, "id": ada.id}
    known["task_id"] = (await ada.task(project_id=known["project_id"]))["id"]
    wanted = {name for route, *_ in BODIES.values() for name in IDS if f"{{{name}}}" in route}
    return known | {name: (await new(ada, IDS[name], **known))["id"] for name in sorted(wanted - known.keys())}


@pytest.mark.parametrize("name", BODIES)
async def test_same_problems_in_the_same_words(ada: Person, ids: dict[str, int], name: str) -> None:
    route, query, own_id = BODIES[name]
    method, path = route.split()
    of = {**IDS, "id": ACCOUNTS[name].node if name in ACCOUNTS else ""}
    known = {
        "id" if key == own_id else _camel(key): encode(of[key], value)
        for key, value in ids.items()
        if f"{{{key}}}" in path
    }
    named = {key: value for key, value in NAMES.items() if f"{{{key}}}" in path}
    if own_id:
        known = {"id": known["id"]}
    known |= {_camel(key): value for key, value in named.items()}
    chance, seen = random.Random(name), Counter[str | None]()
    for _ in range(ROUNDS):
        rest_body, graphql_body = body(_without(input_type(query), known), chance)
        rest = on_rest(await send_rest(ada, method, path.format(**ids, **named), rest_body))
        seen[rest[0]] += 1
        if rest[0] == "BAD_USER_INPUT":
            graphql = on_graphql(await send_graphql(ada, query, {"input": graphql_body | known}))
            assert _of_body(graphql, query) == rest, (rest_body, graphql_body)
    assert seen["BAD_USER_INPUT"] > ROUNDS / 2, seen


def _of_body(refused: tuple[str | None, Problems], query: str) -> tuple[str | None, Problems]:
    """The problems, with pointers into the body: GraphQL's begin with the argument, unless that is ``input``."""
    [argument] = re.findall(r"(\w+): \$input", query)
    if argument == "input":
        return refused
    code, problems = refused
    assert all(at == f"/{argument}" or at.startswith(f"/{argument}/") for at, _, _ in problems)
    return code, [(at.removeprefix(f"/{argument}"), words, kind) for at, words, kind in problems]


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _without(type_: GraphQLInputObjectType, known: dict[str, Any]) -> Any:
    return SimpleNamespace(fields={name: field for name, field in type_.fields.items() if name not in known})


OBJECT = "model_attributes_type"
CREATE = "mutation($input: CreateTaskInput!) { result: createTask(input: $input) { task { id } } }"


class TestTasks:
    async def test_all_faults_of_a_body_are_named_at_once(self, ada: Person, database: Database) -> None:
        wrong = {"title": 5, "priority": "x", "status": "NOPE", "bogus": 1}
        async with unchanged(database):
            rest = on_rest(await send_rest(ada, "POST", "/tasks", wrong))
            answer = await send_graphql(ada, CREATE, {"input": wrong})

        assert answer.status_code == 422
        assert "data" not in answer.json()
        assert on_graphql(answer) == rest
        assert [pointer for pointer, _, _ in rest[1]] == ["/title", "/status", "/priority", "/bogus"]
        assert answer.json()["errors"][0]["locations"] == [{"line": 1, "column": 38}]

    async def test_fault_of_a_rule_is_named_beside_that_of_a_type(self, ada: Person) -> None:
        wrong = {"title": "", "priority": 9, "tags": [7, "ok", ""], "due_at": "2026-01-01T00:00:00"}
        spelt = {"dueAt" if name == "due_at" else name: value for name, value in wrong.items()}
        refused = on_graphql(await send_graphql(ada, CREATE, {"input": spelt}))

        assert refused == on_rest(await send_rest(ada, "POST", "/tasks", wrong))
        assert [pointer for pointer, _, _ in refused[1]] == ["/title", "/priority", "/due_at", "/tags/0", "/tags/2"]

    async def test_broken_rules_of_a_filter_are_told_alike_compiled_and_not(self, ada: Person) -> None:
        """A document that comes for the first time is not compiled."""
        query = "{ tasks(filter: {and: [], status: {ne: null}}) { totalCount } }"
        answers = [(await send_graphql(ada, query, {})).json() for _ in range(3)]
        first, again, compiled = (answer["errors"][0]["extensions"]["errors"] for answer in answers)

        assert first == again == compiled
        assert {item["pointer"]: item["detail"] for item in first} == {
            "/filter/status/ne": "must be one of PENDING, IN_PROGRESS, COMPLETED, CANCELLED",
            "/filter/and": "must have at least 1 entry",
        }

    @pytest.mark.parametrize(
        ("arguments", "pointers"),
        [("filter: {and: []}", ["/filter/and"]), ("filter: {or: []}, last: -5", ["/filter/or", "/last"])],
    )
    async def test_literals_of_a_cheap_list_are_told_alike(
        self, ada: Person, arguments: str, pointers: list[str]
    ) -> None:
        """One that costs too little to be compiled at once."""
        query = f"{{ users({arguments}) {{ totalCount }} }}"
        answers = [(await send_graphql(ada, query, {})).json() for _ in range(3)]
        first, again, compiled = (answer["errors"][0]["extensions"]["errors"] for answer in answers)

        assert first == again == compiled
        assert sorted(item["pointer"] for item in first) == pointers
        assert "must have at least 1 entry" in [item["detail"] for item in first]

    async def test_values_in_a_literal_are_named_with_it(self, ada: Person) -> None:
        query = """mutation($title: String!, $priority: Int, $tag: String!) {
            createTask(input: {title: $title, priority: $priority, dueAt: "x", tags: ["a", $tag]}) { task { id } }
        }"""
        refused = on_graphql(await send_graphql(ada, query, {"title": 5, "priority": 9, "tag": None}))

        assert [pointer for pointer, _, _ in refused[1]] == ["/title", "/priority", "/due_at", "/tags/1"]

    async def test_each_field_has_its_own_error(self, ada: Person, database: Database) -> None:
        query = """mutation($a: CreateTaskInput!, $b: CreateTagInput!, $c: CreateTaskInput!) {
            a: createTask(input: $a) { task { id } } b: createTag(input: $b) { tag { id } }
            c: createTask(input: $c) { task { id } }
        }"""
        async with unchanged(database):
            answer = await send_graphql(ada, query, {"a": {"title": 1}, "b": {}, "c": {"title": "fine"}})

        found = [[item["pointer"] for item in each["extensions"]["errors"]] for each in answer.json()["errors"]]
        assert found == [["/title"], ["/name", "/projectId"]]

    async def test_what_rest_calls_a_field_is_no_field(self, ada: Person) -> None:
        refused = on_graphql(
            await send_graphql(ada, CREATE, {"input": {"title": "x", "due_at": None, "project_id": 1}})
        )

        words = "is not a field that can be sent here; did you mean {}?"
        meant = [("/due_at", "dueAt"), ("/project_id", "projectId")]
        assert refused == ("BAD_USER_INPUT", [(at, words.format(name), "extra_forbidden") for at, name in meant])

    @pytest.mark.parametrize("value", ["pending", "in_progress"])
    async def test_value_as_rest_spells_it_is_told_how_graphql_does(self, ada: Person, value: str) -> None:
        answer = await send_graphql(ada, CREATE, {"input": {"title": "x", "status": value}})

        [problem] = answer.json()["errors"][0]["extensions"]["errors"]
        sentence = f"must be one of PENDING, IN_PROGRESS, COMPLETED, CANCELLED; did you mean {value.upper()}?"
        assert (problem["pointer"], problem["detail"], problem["type"]) == ("/status", sentence, "enum")

    @pytest.mark.parametrize("value", [None, 5, "x", [], True])
    async def test_what_is_no_body(self, ada: Person, value: Any) -> None:
        refused = on_graphql(await send_graphql(ada, CREATE, {"input": value}))

        assert refused == on_rest(await send_rest(ada, "POST", "/tasks", value))

    async def test_body_that_is_left_out(self, ada: Person) -> None:
        refused = on_graphql(await send_graphql(ada, CREATE, {}))

        assert refused == ("BAD_USER_INPUT", [("", "is required", "missing")])

    async def test_the_specification_takes_one_thing_for_a_list(self, ada: Person) -> None:
        query = CREATE.replace("task { id }", "task { tags { name } }")
        answer = await send_graphql(ada, query, {"input": {"title": "x", "tags": "bug"}})

        assert answer.json() == {"data": {"result": {"task": {"tags": [{"name": "bug"}]}}}}

    async def test_password_is_not_repeated(self, anonymous: Anonymous) -> None:
        query = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
        for wrong in (["secret-1"], {"a": "secret-1"}):
            answer = await send_graphql(
                anonymous, query, {"input": {"username": "ada", "password": wrong, "x": "secret-1"}}
            )
            assert answer.status_code == 422
            assert "secret-1" not in answer.text


# arguments that are no bodies: what is wrong, and the pointers
ARGUMENTS: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("query($n: Int!) { tasks(first: $n) { totalCount } }", {"n": None}, [("/first", "int_type")]),
    ("query($n: Int!) { tasks(first: $n) { totalCount } }", {}, [("/first", "missing")]),
    ("query($n: Int) { tasks(first: $n) { totalCount } }", {"n": "x"}, [("/first", "int_type")]),
    ("query($n: Int) { tasks(first: $n) { totalCount } }", {"n": 2**31}, [("/first", "less_than_equal")]),
    ("query($n: Int) { tasks(first: $n) { totalCount } }", {"n": float("inf")}, [("/first", "int_type")]),
    ("query($n: Int, $t: Boolean!) { tasks(last: $n, trashed: $t) { totalCount } }", {"n": 1.5, "t": 1},
     [("/trashed", "bool_type"), ("/last", "int_type")]),
    ("query($id: ID!) { task(id: $id) { id } }", {"id": None}, [("/id", "string_type")]),
    ("query($id: ID!) { task(id: $id) { id } }", {"id": 1.5}, [("/id", "string_type")]),
    ("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["x", None, True]},
     [("/ids/1", "string_type"), ("/ids/2", "string_type")]),
    ("query($id: ID!, $t: ID!) { nodes(ids: [$id, $t]) { id } }", {"id": "x", "t": {}}, [("/ids/1", "string_type")]),
    ("query($o: TaskOrder) { tasks(orderBy: $o) { totalCount } }", {"o": {"field": "nope", "x": 1, "direction": "UP"}},
     [("/orderBy/field", "enum"), ("/orderBy/direction", "enum"), ("/orderBy/x", "extra_forbidden")]),
    ("query($o: TaskOrder) { tasks(orderBy: $o) { totalCount } }", {"o": 5}, [("/orderBy", OBJECT)]),
    ("query($g: TaskGrouping!) { taskCounts(groupBy: $g) { key } }", {"g": "TEAM"}, [("/groupBy", "enum")]),
    ("query($f: TaskFilter) { tasks(filter: $f) { totalCount } }", {"f": {"status": 5, "and": {"dueAt": 5}, "in": 1}},
     [("/filter/status", OBJECT), ("/filter/and/0/dueAt", OBJECT), ("/filter/in", "extra_forbidden")]),
    ("query($b: Boolean!) { me @include(if: $b) { id } }", {"b": "yes"}, [("/if", "bool_type")]),
    ("query($b: Boolean = true) { me @skip(if: $b) { id } }", {"b": None}, [("/if", "bool_type")]),
    ("query($n: Int!) { projects { edges { node { tasks(first: $n) { totalCount } } } } }", {"n": []},
     [("/first", "int_type")]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "variables", "expected"), ARGUMENTS)
async def test_arguments_are_refused_where_they_stand(
    ada: Person, query: str, variables: dict[str, Any], expected: Any
) -> None:
    answer = await send_graphql(ada, query, variables)

    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [(item["pointer"], item["type"]) for item in error["extensions"]["errors"]] == expected


def arguments() -> Iterator[tuple[str, str, str, Any]]:
    """Every argument of the operations' own fields, with the selection that its field needs."""
    for operation, type_ in (("query", schema._schema.query_type), ("mutation", schema._schema.mutation_type)):
        assert type_ is not None
        for name, field in type_.fields.items():
            leaf = is_leaf_type(get_named_type(field.type))
            for argument, definition in field.args.items():
                yield operation, argument, f"{name}(%s){'' if leaf else ' { __typename }'}", definition.type


def test_whatever_graphql_refuses_has_a_problem_of_ours() -> None:
    refusals, chance, seen = Refusals(schema._schema), random.Random(5), Counter[str]()
    for operation, argument, field, type_ in arguments():
        document = parse(f"{operation}($v: {type_}) {{ {field % f'{argument}: $v'} }}")
        [chosen] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        for _ in range(20):
            _, value = values(type_, chance)
            errors = refusals.of(document, chosen, {"v": value})
            refused = coerce_input_value(value, type_) is Undefined
            seen[f"{'' if refused else 'not '}refused, {'' if errors else 'no '}problem"] += 1
            assert errors or not refused, (field, value)
            for error in errors:
                assert isinstance(error.original_error, RefusedArguments)
    assert "refused, no problem" not in seen
    assert seen["refused, problem"] > 500, seen


class TestSurrogates:
    async def test_they_are_refused_where_they_stand(self, ada: Person, subtests: pytest.Subtests) -> None:
        for operation, argument, field, type_ in arguments():
            place, value = surrogate_in(type_)
            if value is None:
                continue
            with subtests.test(field=field, argument=argument):
                query = f"{operation}($v: {type_}) {{ result: {field % f'{argument}: $v'} }}"
                document = parse(query)
                refused = {error.message for error in validate(schema._schema, document)}
                if refused:  # it needs more arguments
                    continue
                answer = await send_graphql(ada, query, {"v": value})
                assert answer.status_code == 422, answer.text
                problems = answer.json()["errors"][0]["extensions"]["errors"]
                assert f"{argument_pointer(argument)}{place}" in [item["pointer"] for item in problems]

    async def test_the_rest_of_a_request_must_be_text(self, ada: Person) -> None:
        for part in ({"query": "{ __typename } # \ud800"}, {"query": "{ __typename }", "operationName": "\ud800"}):
            content = json.dumps(part).encode()
            headers = ada.headers | {"Content-Type": "application/json", "Accept": GRAPHQL_JSON}
            answer = await ada.client.post("/graphql", content=content, headers=headers)
            assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")

    async def test_what_nobody_looks_at_is_no_matter(self, ada: Person) -> None:
        query = "query($id: ID!) { node(id: $id) { id } }"
        answer = await send_graphql(ada, query, {"id": ada.node_id, "unused": "\ud800", "number": float("nan")})

        assert answer.json() == {"data": {"node": {"id": ada.node_id}}}

    async def test_name_that_is_no_text(self, ada: Person) -> None:
        rest = on_rest(await send_rest(ada, "POST", "/tasks", {"title": "x", "\ud800": 1}))

        assert on_graphql(await send_graphql(ada, CREATE, {"input": {"title": "x", "\ud800": 1}})) == rest

    async def test_in_the_address(self, ada: Person) -> None:
        query = "query($ref: String!) { taskByRef(ref: $ref) { id } }"
        parameters = {"query": query, "variables": '{"ref": "\\ud800"}'}
        answer = await ada.rest("GET", "//graphql", params=parameters, headers={"Accept": GRAPHQL_JSON})

        assert on_graphql(answer) == (
            "BAD_USER_INPUT",
            [("/ref", "must be whole characters, and holds half of one (a lone surrogate)", "value_error")],
        )


def surrogate_in(type_: Any) -> tuple[str, Any]:
    """A value with a lone surrogate in its first text, and where that is."""
    type_ = get_nullable_type(type_)
    if is_list_type(type_):
        place, value = surrogate_in(type_.of_type)
        return f"/0{place}", None if value is None else [value]
    if is_input_object_type(type_):
        for name, field in type_.fields.items():
            if get_nullable_type(field.type) in (GraphQLString, GraphQLID):
                return f"/{name}", {name: SURROGATE}
        return "", None
    return "", SURROGATE if type_ in (GraphQLString, GraphQLID) else None


class TestSizes:
    @pytest.mark.parametrize("size", [-1, 101, 2**31 - 1, 2**31, -(2**40), 10**30])
    @pytest.mark.parametrize("name", ["first", "last"])
    async def test_size_of_a_page_is_refused_in_the_words_of_limit(self, ada: Person, name: str, size: int) -> None:
        code, [(_, detail, kind)] = on_rest(await ada.get("/tasks", params={"limit": size}))
        query = f"query($n: Int) {{ result: tasks({name}: $n) {{ totalCount }} }}"
        refused = on_graphql(await send_graphql(ada, query, {"n": size}))

        # where REST counts from 1 its sentence says so
        assert refused == (
            code,
            [(f"/{name}", detail.replace("equal to 1", "equal to 0") if size < 0 else detail, kind)],
        )

    async def test_no_row_is_a_page(self, ada: Person) -> None:
        await ada.task()
        for query in (
            "{ tasks(first: 0) { totalCount edges { cursor } } }",
            "{ tasks(last: 0) { totalCount edges { cursor } } }",
        ):
            assert (await ada.gql(query)).data == {"tasks": {"totalCount": 1, "edges": []}}


def test_a_variable_that_is_given_to_many_fields_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty aliases of a filter with 900 ids held the event loop for 150 ms before they were refused."""
    refusals, looked = Refusals(schema._schema), []
    validated = TypeAdapter.validate_python

    def validate(adapter: TypeAdapter[Any], *given: Any, **options: Any) -> Any:
        looked.append(adapter)
        return validated(adapter, *given, **options)

    monkeypatch.setattr(TypeAdapter, "validate_python", validate)
    fields = " ".join(f"a{number}: tasks(first: 0, filter: $f) {{ totalCount }}" for number in range(50))
    document = parse(f"query ($f: TaskFilter) {{ {fields} }}")
    [operation] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    ids = [encode("Task", number) for number in range(1, 101)]

    assert refusals.of(document, operation, {"f": {"relations": {"any": ids}}}) == []
    assert len(looked) <= 51  # `first: 0` is written fifty times

    assert len(refusals.of(document, operation, {"f": {"relations": {"any": ["no id"]}}})) == 50


def test_what_many_fields_are_given_is_looked_at_within_a_bound() -> None:
    refusals = Refusals(schema._schema)
    fields = " ".join(f"a{number}: tasks(filter: {{ and: [$f] }}) {{ totalCount }}" for number in range(500))
    document = parse(f"query ($f: TaskFilter!) {{ {fields} }}")
    [operation] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    ids = [encode("Task", number) for number in range(1, 901)]
    begun = time.thread_time()

    refusals.of(document, operation, {"f": {"relations": {"any": ids}}})

    assert time.thread_time() - begun < 2.0


async def test_input_that_is_nested_without_end_is_refused(ada: Person) -> None:
    """As graphql-core does: deeper than Python lets a function call itself."""
    query = "query ($filter: TaskFilter) { tasks(filter: $filter) { totalCount } }"
    for depth in (300, 950):
        variables = '{"filter":' + '{"not":' * depth + "{}" + "}" * depth + "}"
        body = f'{{"query": "{query}", "variables": {variables}}}'
        answer = await ada.client.post(
            "/graphql", content=body, headers=ada.headers | {"content-type": "application/json"}
        )
        assert answer.status_code == 200
        assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["BAD_USER_INPUT"]
