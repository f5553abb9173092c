"""Several operations in one document: what is remembered of it is remembered for each of them."""

import random
from collections import Counter
from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse

from core.json_texts import encode
from db.driver.database import Database
from graphql_compiler import shaping_variables
from graphql_schema.execution.executor import Executor
from graphql_schema.execution.outcomes import GraphQLRequest
from graphql_schema.schema import schema
from graphql_schema.shared.context import Context
from services.shared.node_ids import encode as node_id
from tests.actors import Person

DOCUMENTS = 60
# a variable of each type: where it may stand, and what it may be
USES: dict[str, tuple[list[str], list[Any]]] = {
    "Boolean!": (
        [
            "{key}: me @include(if: ${name}) {{ id }}",
            "{key}: tasks(trashed: ${name}) {{ totalCount }}",
            "... @skip(if: ${name}) {{ {key}: __typename }}",
            "...Shown{name}",
        ],
        [True, False],
    ),
    "[ID!]!": (
        ["{key}: nodes(ids: ${name}) {{ id __typename }}"],
        [[], [node_id("Task", 1)], [node_id("User", 1)] * 2],
    ),
    "ID!": (["{key}: node(id: ${name}) {{ id }}"], [node_id("Task", 1), node_id("Project", 1), "x"]),
    "Int": (["{key}: tasks(first: ${name}) {{ edges {{ node {{ id }} }} }}"], [None, 0, 1, 5, 101]),
    "String!": (["{key}: search(query: ${name}) {{ totalCount }}"], ["docs", "", "nothing at all"]),
    "TaskFilter": (
        ["{key}: tasks(filter: ${name}) {{ totalCount edges {{ node {{ title }} }} }}"],
        [None, {}, {"priority": {"in": [1, 2]}}, {"not": {"status": {"eq": "PENDING"}}}],
    ),
    "TaskOrder": (["{key}: tasks(orderBy: ${name}) {{ edges {{ node {{ ref }} }} }}"], [None, {"field": "TITLE"}]),
}
FRAGMENT = 'fragment Shown{name} on Query {{ s{name}: taskByRef(ref: "INBOX-1") @include(if: ${name}) {{ title }} }} '


def document_of(chance: random.Random) -> tuple[str, dict[str, dict[str, list[Any]]]]:
    """A document of two to four operations whose variables share their names, and the values that each may have."""
    text = ""
    values: dict[str, dict[str, list[Any]]] = {}
    for operation in "ABCD"[: chance.randrange(2, 5)]:
        types = {name: chance.choice([*USES]) for name in "xy"[: chance.randrange(1, 3)]}
        parts = [chance.choice(USES[type_][0]).format(key=f"k{name}", name=name) for name, type_ in types.items()]
        declared = ", ".join(f"${name}: {type_}" for name, type_ in types.items())
        text += f"query {operation}({declared}) {{ {' '.join(parts)} }} "
        values[operation] = {name: USES[type_][1] for name, type_ in types.items()}
    text += "".join(FRAGMENT.format(name=name) for name in "xy" if f"...Shown{name}" in text)
    return text, values


@pytest.fixture
def context(ada: Person, database: Database) -> Any:
    state = ada.client._transport.app.state.tandem  # type: ignore[attr-defined]  # the application under test

    def make() -> Context:
        return Context(
            actor=ada.actor,
            database=database,
            security=state.security,
            feed=state.feed,
            live_lists=state.live_lists,
            connections=state.connections,
            outlet=state.outlet,
        )

    return make


async def test_operations_that_share_names_of_variables_are_each_answered_as_alone(ada: Person, context: Any) -> None:
    for priority in range(1, 4):
        await ada.task(priority=priority)
    chance, seen, plain = random.Random(7), Counter[str](), Executor(schema)
    for _ in range(DOCUMENTS):
        text, values = document_of(chance)
        executor = Executor(schema)
        calls = [*values] * 3
        chance.shuffle(calls)
        for operation in calls:
            variables = {name: chance.choice(several) for name, several in values[operation].items()}
            request = GraphQLRequest(text, variables, operation)
            prepared = executor.prepare(request)
            remembered = await executor.execute(prepared, context())
            ordinary = await plain.execute_ordinarily(prepared, context())
            assert encode(remembered.body()) == encode(ordinary.body()), (text, operation, variables)
            assert "INTERNAL_SERVER_ERROR" not in remembered.codes
        seen.update(executor.executed)
    assert seen["compiled"] > sum(seen.values()) / 3, seen


async def test_list_where_another_operation_has_a_condition_is_answered_each_time(ada: Person) -> None:
    query = "query A($x: Boolean!) { me @include(if: $x) { id } } query B($x: [ID!]!) { nodes(ids: $x) { id } }"
    for _ in range(3):
        answer = await ada.gql(query, {"x": [ada.node_id]}, operationName="B")
        assert answer.data == {"nodes": [{"id": ada.node_id}]}
        for shown, data in ((True, {"me": {"id": ada.node_id}}), (False, {})):
            assert (await ada.gql(query, {"x": shown}, operationName="A")).data == data


def operations_of(text: str) -> tuple[Any, list[OperationDefinitionNode]]:
    document = parse(text)
    return document, [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]


def test_only_conditions_that_an_operation_reaches_shape_it() -> None:
    document, [a, b, c] = operations_of(
        "query A { ...F } query B { ...G } query C($x: [ID!]!) { nodes(ids: $x) { id } }"
        " fragment F on Query { me @skip(if: $x) { id } ...G } fragment G on Query { __typename @include(if: $y) }"
    )

    assert [shaping_variables(document, each) for each in (a, b, c)] == [("x", "y"), ("y",), ()]


async def test_pointer_is_to_the_argument_of_the_operation_that_is_asked_for(ada: Person) -> None:
    query = (
        "query A($x: Int!) { ...F } fragment F on Query { tasks(first: $x) { totalCount } }"
        " query B($x: ID!) { ...G } fragment G on Query { node(id: $x) { id } }"
    )
    for name, pointer in (("A", "/first"), ("B", "/id")):
        refused = await ada.gql(query, {"x": {}}, operationName=name)
        assert (refused.status, refused.code, refused.pointers) == (422, "BAD_USER_INPUT", [pointer])
