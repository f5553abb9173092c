"""Which fields of one name can be merged: as graphql-core has it, but in time that grows with the document only."""

import time

import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    OverlappingFieldsCanBeMergedRule,
    build_schema,
    get_named_type,
    is_composite_type,
    parse,
    validate,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from graphql_schema.execution.overlapping_fields import find_conflicts
from graphql_schema.execution.preparing import RULES
from tests.documents import fragments, spreads

SCHEMA = build_schema("""
    type Query { cat(x: Int, y: [Int]): Cat pet: Pet node: Node text: String }
    interface Node { id: ID! friend: Node }
    type Cat implements Node { id: ID! friend: Cat name: String age: Int names: [String!] owner(a: In): Person }
    type Dog implements Node { id: ID! friend: Dog name: String! age: Float names: [String] owner: Person }
    type Person implements Node { id: ID! friend: Person pets: [Pet!]! pet: Pet name: String }
    union Pet = Cat | Dog
    input In { a: Int b: Int }
""")
ARGUMENTS = {
    "cat": ("", "(x: 1)", "(x: 1, y: [1])", "(y: [1], x: 1)"),
    "owner": ("", "(a: {a: 1, b: 2})", "(a: {b: 2, a: 1})"),
}
CONDITIONS = ("Cat", "Dog", "Person", "Node", "Pet")
FRAGMENTS = 3


def conflicts(query: str) -> list[str]:
    return [error.message for error in find_conflicts(SCHEMA, parse(query))]


def types(first: str, other: str) -> str:
    return f"they return conflicting types '{first}' and '{other}'"


class TestRule:
    @pytest.mark.parametrize(
        "query",
        [
            "{ text text }",
            "{ a: text a: text b: text }",
            "{ cat(x: 1) { name } cat(x: 1) { age name } }",
            "{ cat(x: 1, y: [2]) { name } cat(y: [2], x: 1) { age } }",
            "{ cat { owner(a: {a: 1, b: 2}) { id } owner(a: {b: 2, a: 1}) { id } } }",
            "{ pet { ... on Cat { n: owner(a: {a: 1}) { id } } ... on Dog { n: owner { name } } } }",
            "{ pet { ... on Cat { x: name } } node { ... on Dog { x: age } } }",
            "{ ...F ...F cat { name } } fragment F on Query { cat { ...G } } fragment G on Cat { name owner { id } }",
        ],
    )
    def test_equal_fields_are_merged(self, query: str) -> None:
        assert conflicts(query) == []

    @pytest.mark.parametrize(
        ("query", "reason"),
        [
            ("{ a: text a: cat { id } }", types("String", "Cat")),
            ("{ cat { a: name a: owner { id } } }", types("String", "Person")),
            ("{ a: pet { __typename } a: node { __typename } }", "'pet' and 'node' are different fields"),
            ("{ cat(x: 1) { id } cat(x: 2) { id } }", "they have differing arguments"),
            ("{ cat { id } cat(x: 2) { id } }", "they have differing arguments"),
            ("{ cat { a: name } cat { a: names } }", types("String", "[String!]")),
            ("{ pet { ... on Cat { a: age } ... on Dog { a: age } } }", types("Int", "Float")),
            ("{ pet { ... on Cat { name } ... on Dog { name } } }", types("String", "String!")),
            ("{ node { a: id ... on Cat { a: name } } }", types("ID!", "String")),
            ("{ cat { friend { ...F } friend { a: name } } } fragment F on Node { a: id }", types("ID!", "String")),
            ("query A { text } query B { a: text a: node { id } }", types("String", "Node")),
        ],
    )
    def test_first_difference_is_named(self, query: str, reason: str) -> None:
        [message] = conflicts(query)
        assert f"conflict because {reason}. Use different aliases" in message


@st.composite
def _selection(draw: st.DrawFn, type_name: str, depth: int, spreadable: tuple[tuple[int, str], ...]) -> str:
    type_ = SCHEMA.type_map[type_name]
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("field", "field", "field", "inline", "spread")))
        if kind == "spread" and spreadable:
            parts.append(f"...F{draw(st.sampled_from(spreadable))[0]}")
        elif kind == "inline" and depth and type_name != "Query":
            condition = draw(st.sampled_from(CONDITIONS))
            parts.append(f"... on {condition} {{ {draw(_selection(condition, depth - 1, spreadable))} }}")
        elif isinstance(type_, GraphQLUnionType):
            parts.append("__typename")
        else:
            assert isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType))
            fields = [
                name
                for name, field in type_.fields.items()
                if depth or not is_composite_type(get_named_type(field.type))
            ]
            name = draw(st.sampled_from(fields))
            alias = draw(st.sampled_from(("", "", "x: ", "y: ")))
            arguments = draw(st.sampled_from(ARGUMENTS[name])) if type_name != "Dog" and name in ARGUMENTS else ""
            named = get_named_type(type_.fields[name].type)
            below = f" {{ {draw(_selection(named.name, depth - 1, spreadable))} }}" if is_composite_type(named) else ""
            parts.append(f"{alias}{name}{arguments}{below}")
    return " ".join(parts)


@st.composite
def _document(draw: st.DrawFn) -> str:
    conditions = [draw(st.sampled_from(CONDITIONS)) for _ in range(FRAGMENTS)]
    known = tuple(enumerate(conditions))
    bodies = [draw(_selection(conditions[index], 2, known[index + 1 :])) for index in range(FRAGMENTS)]
    text = f"{{ {draw(_selection('Query', 4, ()))} node {{ {draw(_selection('Node', 3, known))} }} }}"
    for index, body in enumerate(bodies):
        if f"...F{index}" in text:
            text += f" fragment F{index} on {conditions[index]} {{ {body} }}"
    return text


class TestAgainstTheReference:
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_document())
    def test_same_documents_are_refused(self, query: str) -> None:
        document = parse(query)
        assume(not validate(SCHEMA, document, RULES))

        reference = validate(SCHEMA, document, [OverlappingFieldsCanBeMergedRule])
        assert bool(conflicts(query)) == bool(reference), (query, reference, conflicts(query))


class TestTime:
    @pytest.mark.parametrize(
        "query",
        [
            "{ cat {" + spreads(600) + "} }" + fragments(600, lambda _: "id name owner { id name }", "Cat"),
            "{" + "... { cat { friend { friend { name } } } } " * 600 + "}",
            "{ ...F0 }" + fragments(150, lambda i: f"text ...F{i + 1} ...F{(i + 2) % 151}" if i < 148 else "text"),
            "{ node {" + "".join(f"... on {CONDITIONS[i % 4]} {{ friend {{ id }} }} " for i in range(600)) + "} }",
        ],
        ids=["fragments", "inline fragments", "fragments in fragments", "types"],
    )
    def test_grows_with_the_document_only(self, query: str) -> None:
        document = parse(query)
        seconds = []
        for _ in range(3):
            started = time.process_time()
            assert list(find_conflicts(SCHEMA, document)) == []
            seconds.append(time.process_time() - started)
        assert min(seconds) < 0.1
