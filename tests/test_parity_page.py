"""The page that shows both doors side by side."""

from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, get_named_type
from strawberry.utils.str_converters import to_camel_case

from api.main import EXPOSED_HEADERS, REQUEST_HEADERS
from api.openapi import operations
from api.problems import STATUS
from graphql_schema.schema import schema
from tools import parity


def test_every_operation_and_every_exception_is_on_the_page(openapi: dict[str, Any]) -> None:
    document = openapi
    page = parity.page(document, schema._schema, STATUS)
    operations_alone = page.partition("## Parameters")[0]

    for path, item in document["paths"].items():
        for method in item:
            assert operations_alone.count(f"| `{method.upper()} {path}` |") == 1, (method, path)
    for field in [*parity.PAIRS.values(), *parity.SHORTHANDS, *parity.GRAPHQL_ALONE]:
        assert f"`{field}" in page
    for code in STATUS:
        assert f"`{code}`" in page
    assert "| `GET /api/v1/tasks/{task_id}` | A task | `Query.task(id)` |" in page


@pytest.fixture(scope="module")
def document(openapi: dict[str, Any]) -> dict[str, Any]:
    return openapi


def paired(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations that have a counterpart."""
    return [operation for _, _, operation in operations(document) if operation["operationId"] in parity.PAIRS]


class TestEdges:
    """Parameters, headers, defaults and bounds are equal, or the page says why not."""

    def test_every_parameter_has_its_counterpart(self, document: dict[str, Any]) -> None:
        for operation in paired(document):
            for each in parity.inputs(operation, document, schema._schema):
                assert each.is_paired, f"{operation['operationId']}: {each}"

    def test_what_is_said_of_parameters_is_true(self, document: dict[str, Any]) -> None:
        all_of_them = [
            each for operation in paired(document) for each in parity.inputs(operation, document, schema._schema)
        ]
        names = {each.rest for each in all_of_them}
        alone = {each.rest for each in all_of_them if not each.graphql}

        assert names >= parity.STANDS_FOR.keys()
        assert alone == parity.REST_ADDS.keys()

    def test_defaults_are_the_same(self, document: dict[str, Any]) -> None:
        for operation in paired(document):
            for each in parity.inputs(operation, document, schema._schema):
                if each.rest and each.graphql == (to_camel_case(each.rest),):
                    assert each.default == each.other_default, f"{operation['operationId']}: {each}"

    def test_every_list_counts_on_both(self, document: dict[str, Any]) -> None:
        for operation in paired(document):
            type_name, name = parity.PAIRS[operation["operationId"]].split(".")
            type_ = schema._schema.type_map[type_name]
            assert isinstance(type_, GraphQLObjectType)
            answered = get_named_type(type_.fields[name].type)
            assert isinstance(answered, GraphQLObjectType) or name in {"tags", "taskCounts", "node"}
            counts = isinstance(answered, GraphQLObjectType) and "totalCount" in answered.fields
            takes = {parameter["name"] for parameter in operation.get("parameters", ())}
            # a feed goes on: nothing is counted
            listed = "limit" in takes and name != "changes"
            # a whole list is as long as it is
            assert counts is listed, operation["operationId"]
            assert ("total" in takes) is (listed or name == "tags"), operation["operationId"]

    def test_members_of_bodies_have_the_same_bounds(self, document: dict[str, Any]) -> None:
        compared = 0
        for operation in paired(document):
            model = _input_model(parity.PAIRS[operation["operationId"]])
            if model is None:
                continue
            other = model.model_json_schema()
            for content in operation.get("requestBody", {}).get("content", {}).values():
                body = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
                for name, member in body["properties"].items():
                    if name in other["properties"]:
                        assert _bounds(member, document["components"]["schemas"]) == _bounds(
                            other["properties"][name], other.get("$defs", {})
                        ), f"{operation['operationId']}: {name}"
                        compared += 1
        assert compared > 60

    def test_every_header_is_on_the_page(self, document: dict[str, Any]) -> None:
        declared = {
            parameter["name"]
            for _, _, operation in operations(document)
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "header"
        }

        assert {*REQUEST_HEADERS, *EXPOSED_HEADERS} == parity.HEADERS.keys()
        assert declared <= parity.HEADERS.keys()


def _input_model(field: str) -> Any:
    """The model of a mutation's input, which is a service's."""
    type_name, name = field.split(".")
    type_ = schema._schema.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    argument = type_.fields[name].args.get("input")
    if argument is None:
        return None
    inner = get_named_type(argument.type)
    assert isinstance(inner, GraphQLInputObjectType)
    return inner.extensions["strawberry-definition"].origin


_BOUNDS = (
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "pattern",
    "enum",
)


def _bounds(member: dict[str, Any], models: dict[str, Any], depth: int = 0) -> Any:
    """What a member of a body is bound by, and those inside it."""
    if "$ref" in member:
        member = models[member["$ref"].rpartition("/")[2]]
    inner = [*member.get("anyOf", ()), *([member["items"]] if "items" in member else ())]
    if depth < 4:
        inner += member.get("properties", {}).values()
    return (
        {name: member[name] for name in _BOUNDS if name in member},
        [_bounds(each, models, depth + 1) for each in inner],
    )
